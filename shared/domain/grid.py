"""Compute the cells of the time grid that a booking touches."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.contract.errors import InvalidRequest
from shared.contract.instants import unix_milliseconds

MINUTE_MS = 60_000
YEAR_10000_MS = 253_402_300_800_000


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
class SlotRange:
    """The time from `slot` on for `duration` minutes, and the cells that it touches.

    `cells` are the first instants of the cells (Unix ms) on a grid of `slot_minutes`. `duration` is None on a
    grid of 0.
    """

    slot: datetime
    duration: int | None
    slot_minutes: int
    cells: Sequence[int]


@dataclass(frozen=True)
class Grid:
    """Cells of `minutes`, counted from the Unix epoch in UTC. On a grid of 0 every millisecond is a cell."""

    minutes: int

    def slot_range(self, place: Place) -> SlotRange:
        """Return the time that a place covers; without a duration, one cell's length.

        Raises:
            InvalidRequest: it has a duration on a grid of 0, or ends after the year 9999.
        """
        duration, begin = place.durationMinutes, unix_milliseconds(place.slot)
        if self.minutes == 0:
            if duration is not None:
                raise InvalidRequest("durationMinutes is not accepted here: every slot stands by itself")
            return SlotRange(place.slot, None, 0, range(begin, begin + self.cell_ms))
        duration = self.minutes if duration is None else duration
        end = begin + duration * MINUTE_MS
        if end >= YEAR_10000_MS:
            raise InvalidRequest("slot plus durationMinutes must end before the year 10000")
        return SlotRange(place.slot, duration, self.minutes, range(*self.cells_of(begin, end), self.cell_ms))

    @property
    def cell_ms(self) -> int:
        """The width of a cell in milliseconds."""
        return self.minutes * MINUTE_MS or 1

    def cells_of(self, begin: int, end: int) -> tuple[int, int]:
        """Return the start of the first cell and the end of the last cell of a time (all in Unix ms)."""
        cell_ms = self.cell_ms
        return begin // cell_ms * cell_ms, -(-end // cell_ms) * cell_ms
