"""What is held in a site, for reading: granted holds by their cells, without saying whose they are."""

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

# How many claims one question looks at: few enough that it holds up no other command of Redis.
MOST_LOOKED_AT = 250
LEAST_LOOKED_AT = 40
MOST_RESOURCES_AT_ONCE = 25


class HoldIndex:
    """Reads what the scripts of holds list."""

    def __init__(self, scripts: Scripts, grid: Grid) -> None:
        self._scripts = scripts
        self._grid = grid

    async def held(
        self, time_range: TimeRange, after: PagePosition | None, *, limit: int, deadline: Deadline
    ) -> list[Cells]:
        """What is held after a mark and overlaps the cells of a time range, by cell and resource.

        At one resource no two overlap. What a token holds without a gap is one hold, however often it was
        extended; only what lasts longer than a day may be shown shorter.

        Returns:
            The first `limit` of them: where there are as many, more may follow the last.

        Raises:
            HoldsUnreachable: Redis cannot say.
        """
        names = time_range.resources
        if names is None:
            names = tuple(await self._held_resources(time_range.site, deadline))
        start = time_range.start if after is None else max(time_range.start, after.at)
        first, end = self._grid.cells_of(start, time_range.end)
        listings = [_Listing(name, self._grid.minutes, first, end) for name in names]
        while unread := [each for each in listings if each.next is not None]:
            # All that begins before this is found, with its end.
            certain = min(each.certain_until for each in unread)
            if sum(cells.at < certain for each in listings for cells in each.found) >= limit:
                break
            unread.sort(key=lambda each: each.certain_until)
            await self._read(time_range.site, unread[:MOST_RESOURCES_AT_ONCE], deadline)
        found = sorted((cells for each in listings for cells in each.found), key=lambda cells: cells.position)
        return [cells for cells in found if after is None or cells.position > after][:limit]

    async def _read(self, site: str, listings: Sequence["_Listing"], deadline: Deadline) -> None:
        """Read on in some listings."""
        most = max(MOST_LOOKED_AT // len(listings), LEAST_LOOKED_AT)
        calls = [
            Call(site, held_keys(site, each.resource), (str(each.next), each.last, most)) for each in listings
        ]
        for each, (go_on, *claims) in zip(
            listings, await self._ask("held_claims", calls, deadline), strict=True
        ):
            each.take(zip(map(int, claims[::2]), claims[1::2], strict=True))
            each.go_on(int(go_on) if go_on else None)

    async def _held_resources(self, site: str, deadline: Deadline) -> set[str]:
        """The resources of which something may be held."""
        names, cursor = set[str](), "0"
        while True:
            call = Call(site, [held_resources_key(site)], (cursor,))
            ((cursor, *some),) = await self._ask("held_resources", [call], deadline)
            names.update(some)
            if cursor == "0":
                return names

    async def _ask(self, script: str, calls: Sequence[Call], deadline: Deadline) -> list[Any]:
        answers = await self._scripts.run(script, calls, seconds=deadline.remaining)
        if not all(isinstance(answer, list) for answer in answers):
            raise HoldsUnreachable
        return answers


class _Listing:
    """What is held of one resource, as far as it is read: `next` is where to read on, None at the end."""

    def __init__(self, resource: str, minutes: int, first: int, end: int) -> None:
        self.resource = resource
        self.found: list[Cells] = []
        self._minutes, self._first, self._end = minutes, first, end
        self._cell = minutes * MINUTE_MS
        # What begins, or goes on, so far beyond the stretch belongs to it.
        beyond = DAY_MINUTES * MINUTE_MS if minutes else 0
        self.next: int | None = first - beyond
        self.last = end - 1 + beyond
        self._run: tuple[int, int, str] | None = None
        """Cells without a gap that one token holds: the first, the last, the token."""

    @property
    def certain_until(self) -> int:
        """Before this, nothing is found any more, nor lasts longer than it is known to."""
        assert self.next is not None  # noqa: S101 - asked only of what is not read to its end
        return self._run[0] if self._run else self.next

    def take(self, claims: "zip[tuple[int, str]]") -> None:
        """Add claims, in their order: each a cell and its token."""
        for at, token in claims:
            if self._run and (at, token) == (self._run[1] + self._cell, self._run[2]):
                self._run = self._run[0], at, token
            else:
                self._finish()
                self._run = at, at, token

    def go_on(self, at: int | None) -> None:
        """Read on from there later; not where all that is left lies beyond the time range."""
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
