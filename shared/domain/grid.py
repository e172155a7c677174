"""The grid: which cells a booking touches."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.contract.errors import InvalidRequest
from shared.contract.instants import unix_milliseconds

MINUTE_MS = 60_000
YEAR_10000_MS = 253_402_300_800_000


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
class SlotRange:
    """The time from `slot` on for `duration` minutes, and the cells that it touches.

    `cells` are their first instants (Unix ms) on a grid of `slot_minutes`. `duration` is None on a grid of 0.
    """

    slot: datetime
    duration: int | None
    slot_minutes: int
    cells: Sequence[int]


@dataclass(frozen=True)
class Grid:
    """Cells of `minutes`, counted from the Unix epoch in UTC; 0: each instant is a cell by itself."""

    minutes: int

    def slot_range(self, place: Place) -> SlotRange:
        """The time that a place covers; without a duration, as long as one cell.

        Raises:
            InvalidRequest: it has a duration on a grid of 0, or ends after the last year that there is.
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
        """How wide a cell is, in milliseconds."""
        return self.minutes * MINUTE_MS or 1

    def cells_of(self, begin: int, end: int) -> tuple[int, int]:
        """Where the first and the last cell that a time touches begin and end (all in Unix ms)."""
        return begin // self.cell_ms * self.cell_ms, -(-end // self.cell_ms) * self.cell_ms
