"""Read the granted holds of a site by their cells, without their owners."""

from collections.abc import Sequence
from typing import Any

from shared.contract.deadline import Deadline
from shared.contract.errors import HoldsUnreachable
from shared.contract.fields import DAY_MINUTES
from shared.domain.grid import MINUTE_MS, Grid
from shared.domain.time_range import Cells, PagePosition, TimeRange
from shared.stores.redis.calls import Call
from shared.stores.redis.keys import held_keys, held_resources_key
from shared.stores.redis.scripts import Scripts

# How many claims one call reads: few enough not to delay other commands of Redis.
MOST_LOOKED_AT = 250
LEAST_LOOKED_AT = 40
MOST_RESOURCES_AT_ONCE = 25


class HoldIndex:
    """Reads the sorted sets in which the scripts list granted holds."""

    def __init__(self, scripts: Scripts, grid: Grid) -> None:
        self._scripts = scripts
        self._grid = grid

    async def held(
        self, time_range: TimeRange, after: PagePosition | None, *, limit: int, deadline: Deadline
    ) -> list[Cells]:
        """Read the first `limit` held cells after a position in a time range, by cell and resource.

        The cells of one resource do not overlap. Adjacent cells of one token are one hold, however often it
        was extended. Only a hold that lasts longer than a day may be shown shorter.

        Returns:
            At most `limit` holds; if there are `limit`, further ones may follow.

        Raises:
            HoldsUnreachable: Redis does not answer.
        """
        names = time_range.resources
        if names is None:
            names = tuple(await self._held_resources(time_range.site, deadline))
        start = time_range.start if after is None else max(time_range.start, after.at)
        first, end = self._grid.cells_of(start, time_range.end)
        listings = [_Listing(name, self._grid.minutes, first, end) for name in names]
        while unread := [listing for listing in listings if listing.next is not None]:
            # Every hold that begins before this is found, with its end.
            certain = min(listing.certain_until for listing in unread)
            if sum(cells.at < certain for listing in listings for cells in listing.found) >= limit:
                break
            unread.sort(key=lambda listing: listing.certain_until)
            await self._read(time_range.site, unread[:MOST_RESOURCES_AT_ONCE], deadline)
        found = sorted(
            (cells for listing in listings for cells in listing.found), key=lambda cells: cells.position
        )
        return [cells for cells in found if after is None or cells.position > after][:limit]

    async def _read(self, site: str, listings: Sequence["_Listing"], deadline: Deadline) -> None:
        """Read the next claims of some listings."""
        most = max(MOST_LOOKED_AT // len(listings), LEAST_LOOKED_AT)
        calls = [
            Call(site, held_keys(site, listing.resource), (str(listing.next), listing.last, most))
            for listing in listings
        ]
        answers = await self._run("held_claims", calls, deadline)
        for listing, (next_cell, *claims) in zip(listings, answers, strict=True):
            listing.take(zip(map(int, claims[::2]), claims[1::2], strict=True))
            listing.continue_at(int(next_cell) if next_cell else None)

    async def _held_resources(self, site: str, deadline: Deadline) -> set[str]:
        """Return the resources of a site that may have holds."""
        names, cursor = set[str](), "0"
        while True:
            call = Call(site, [held_resources_key(site)], (cursor,))
            ((cursor, *some),) = await self._run("held_resources", [call], deadline)
            names.update(some)
            if cursor == "0":
                return names

    async def _run(self, script: str, calls: Sequence[Call], deadline: Deadline) -> list[Any]:
        answers = await self._scripts.run(script, calls, seconds=deadline.remaining)
        if not all(isinstance(answer, list) for answer in answers):
            raise HoldsUnreachable
        return answers


class _Listing:
    """The holds of one resource, as far as they are read.

    `next` is the cell (Unix ms) at which to continue, None at the end.
    """

    def __init__(self, resource: str, minutes: int, first: int, end: int) -> None:
        self.resource = resource
        self.found: list[Cells] = []
        self._minutes, self._first, self._end = minutes, first, end
        self._cell = minutes * MINUTE_MS
        # A hold that begins or continues this far outside the range may belong to it.
        beyond = DAY_MINUTES * MINUTE_MS if minutes else 0
        self.next: int | None = first - beyond
        self.last = end - 1 + beyond
        self._run: tuple[int, int, str] | None = None
        """Adjacent cells that one token holds: the first cell, the last cell, the token."""

    @property
    def certain_until(self) -> int:
        """The cell before which all holds are found, with their ends."""
        assert self.next is not None  # noqa: S101 - only called while something is unread
        return self._run[0] if self._run else self.next

    def take(self, claims: "zip[tuple[int, str]]") -> None:
        """Add claims in order: (cell, token) pairs."""
        for at, token in claims:
            if self._run and (at, token) == (self._run[1] + self._cell, self._run[2]):
                self._run = self._run[0], at, token
            else:
                self._finish()
                self._run = at, at, token

    def continue_at(self, at: int | None) -> None:
        """Set the cell to continue at; None if all the rest lies after the time range."""
        beyond = self._run[0] >= self._end if self._run else at is not None and at >= self._end
        self.next = None if beyond else at
        if self.next is None:
            self._finish()

    def _finish(self) -> None:
        if self._run:
            begin, last, _ = self._run
            if begin < self._end and last + max(self._cell, 1) > self._first:
                minutes = (last - begin) // MINUTE_MS + self._minutes if self._cell else None
                self.found.append(Cells(begin, self.resource, minutes))
        self._run = None
