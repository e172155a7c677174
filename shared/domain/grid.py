"""The grid: which instants a booking covers."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.contract.commands import SlotRequest
from shared.contract.errors import InvalidRequest
from shared.contract.instants import EPOCH


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

    def span_of(self, request: SlotRequest) -> Span:
        """Where a request lies.

        Raises:
            InvalidRequest: its slot or its duration does not fit the grid.
        """
        duration = request.durationMinutes
        if self.minutes == 0:
            if duration is not None:
                raise InvalidRequest("durationMinutes is not accepted here: every slot stands by itself")
            return Span(request.slot, None, (request.slot,))
        step = timedelta(minutes=self.minutes)
        if (request.slot - EPOCH) % step:
            raise InvalidRequest(f"slot must lie on the grid of {self.minutes} minutes")
        duration = self.minutes if duration is None else duration
        if duration % self.minutes:
            raise InvalidRequest(f"durationMinutes must be a multiple of {self.minutes}")
        try:
            covered = tuple(request.slot + step * n for n in range(duration // self.minutes))
        except OverflowError:
            raise InvalidRequest("slot must end before the year 10000") from None
        return Span(request.slot, duration, covered)
