"""Compute the cells of the time grid that a booking touches."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.contract.errors import InvalidRequest
from shared.contract.instants import unix_milliseconds
from shared.domain.booked_service import BookedService

MINUTE_MS = 60_000
YEAR_1_MS, YEAR_10000_MS = -62_135_596_800_000, 253_402_300_800_000


class Place(Protocol):
    """Resources of a site, from an instant on, for some minutes: a request without its patient."""

    @property
    def site(self) -> str: ...

    @property
    def resources(self) -> tuple[str, ...]: ...

    @property
    def slot(self) -> datetime: ...

    @property
    def durationMinutes(self) -> int | None: ...  # noqa: N802  # as the messages call it


@dataclass(frozen=True)
class RequestedPlace:
    """A place that is not a command: it has the rest of its fields from a booking or from a service."""

    site: str
    resources: tuple[str, ...]
    slot: datetime
    durationMinutes: int | None  # as the messages call it


@dataclass(frozen=True)
class SlotRange:
    """The time from `slot` on for `duration` minutes, and the cells that it touches.

    `cells` are the first instants of the cells (Unix ms) on a grid of `slot_minutes`. They also cover the
    buffers of `service`, if there is one. `duration` is None on a grid of 0.
    """

    slot: datetime
    duration: int | None
    slot_minutes: int
    cells: Sequence[int]
    service: BookedService | None = None


@dataclass(frozen=True)
class Grid:
    """Cells of `minutes`, counted from the Unix epoch in UTC. On a grid of 0 every millisecond is a cell."""

    minutes: int

    def slot_range(self, place: Place, service: BookedService | None = None) -> SlotRange:
        """Return the time that a place and the buffers of its service cover.

        Without a duration, the place lasts as long as one cell.

        Raises:
            InvalidRequest: it has a duration or a service on a grid of 0, or leaves the years 1 to 9999.
        """
        duration, begin = place.durationMinutes, unix_milliseconds(place.slot)
        if self.minutes == 0:
            if duration is not None or service is not None:
                field = "durationMinutes" if service is None else "service"
                raise InvalidRequest(f"{field} is not accepted here: every slot stands by itself")
            return SlotRange(place.slot, None, 0, range(begin, begin + self.cell_ms))
        duration = self.minutes if duration is None else duration
        end = begin + duration * MINUTE_MS
        if end >= YEAR_10000_MS:
            raise InvalidRequest("slot plus durationMinutes must end before the year 10000")
        if service is not None:
            begin, end = begin - service.before * MINUTE_MS, end + service.after * MINUTE_MS
            if begin < YEAR_1_MS or end >= YEAR_10000_MS:
                raise InvalidRequest("slot with the buffers of service must be in the years 1 to 9999")
        cells = range(*self.cells_of(begin, end), self.cell_ms)
        return SlotRange(place.slot, duration, self.minutes, cells, service)

    @property
    def cell_ms(self) -> int:
        """The width of a cell in milliseconds."""
        return self.minutes * MINUTE_MS or 1

    def cells_of(self, begin: int, end: int) -> tuple[int, int]:
        """Return the start of the first cell and the end of the last cell of a time (all in Unix ms)."""
        cell_ms = self.cell_ms
        return begin // cell_ms * cell_ms, -(-end // cell_ms) * cell_ms
