"""The grid: which instants a booking covers."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from shared.contract.errors import InvalidRequest
from shared.contract.instants import EPOCH


class Place(Protocol):
    """What is asked for, but for the patient: resources of a site, from an instant on."""

    @property
    def site(self) -> str: ...

    @property
    def resources(self) -> tuple[str, ...]: ...

    @property
    def slot(self) -> datetime: ...

    @property
    def durationMinutes(self) -> int | None: ...  # noqa: N802  # as the messages call it


@dataclass(frozen=True)
class Span:
    """A place on the grid: `duration` in minutes (None where any instant is a slot by itself)."""

    slot: datetime
    duration: int | None
    instants: tuple[datetime, ...]


@dataclass(frozen=True)
class Grid:
    """Steps of `minutes`, counted from the Unix epoch in UTC; 0: any instant is a slot by itself."""

    minutes: int

    def span_of(self, place: Place) -> Span:
        """Which instants a place covers.

        Raises:
            InvalidRequest: its slot or its duration does not fit the grid.
        """
        duration = place.durationMinutes
        if self.minutes == 0:
            if duration is not None:
                raise InvalidRequest("durationMinutes is not accepted here: every slot stands by itself")
            return Span(place.slot, None, (place.slot,))
        step = timedelta(minutes=self.minutes)
        if (place.slot - EPOCH) % step:
            raise InvalidRequest(f"slot must lie on the grid of {self.minutes} minutes")
        duration = self.minutes if duration is None else duration
        if duration % self.minutes:
            raise InvalidRequest(f"durationMinutes must be a multiple of {self.minutes}")
        try:
            covered = tuple(place.slot + step * n for n in range(duration // self.minutes))
        except OverflowError:
            raise InvalidRequest("slot must end before the year 10000") from None
        return Span(place.slot, duration, covered)
