"""Read the bookings in a window of time from an index, page by page, as raw rows.

The entries of a page are ordered by group (an instant, or a cell of the grid) and within a group by name (an
id, or a resource). MongoDB reads rows by slot, so a page ends with a whole group. Only a group that is larger
than a page is read in parts, by name.

Booked cells of bookings with a buffer before the slot are read by `begin`, where that buffer begins, and are
merged with the others.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from bson.datetime_ms import DatetimeMS
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from shared.contract.errors import NotExecuted
from shared.contract.fields import DAY_MINUTES
from shared.contract.schedule_fields import MOST_BUFFER_MINUTES
from shared.domain.grid import MINUTE_MS, Grid
from shared.domain.time_range import Cells, PagePosition, TimeRange
from shared.stores.metrics import MONGODB_SECONDS, timed
from shared.stores.mongo.bookings import COLLECTION, STATUS_BOOKED, BookingStore
from shared.stores.mongo.bulk import within
from shared.stores.mongo.connection import Database, Document, read_apart

_ISO = "%Y-%m-%dT%H:%M:%S.%LZ"
_LASTING = {"$ifNull": ["$durationMinutes", "$$REMOVE"]}
_BUFFERS = ("bufferBefore", "bufferAfter")
_APPOINTMENT: Document = {
    "_id": 0,
    "at": {"$toLong": "$slot"},
    "id": "$_id",
    "site": 1,
    "resources": 1,
    "slot": {"$dateToString": {"date": "$slot", "format": _ISO}},
    "durationMinutes": _LASTING,
    "patientName": {"$ifNull": ["$patientName", "$$REMOVE"]},
    "contact": {"$ifNull": ["$contact", "$$REMOVE"]},
    "attendance": {"$ifNull": ["$attendance", "$$REMOVE"]},
    "service": 1,
    **{field: {"$cond": [{"$gt": [f"${field}", 0]}, f"${field}", "$$REMOVE"]} for field in _BUFFERS},
    "status": 1,
    "version": 1,
    "createdAt": {"$dateToString": {"date": "$createdAt", "format": _ISO}},
}
"""Projects a row to the appointment that callers see, and to `at`, its slot (Unix ms)."""
_TAKEN: Document = {
    "_id": 0,
    "resources": 1,
    "slot": {"$toLong": "$slot"},
    "durationMinutes": _LASTING,
    "bufferBefore": 1,
    "bufferAfter": 1,
}
_WITH_BUFFER: Document = {"$add": ["$durationMinutes", {"$ifNull": ["$bufferAfter", 0]}]}

EntryT = TypeVar("EntryT")


@dataclass(frozen=True)
class Page(Generic[EntryT]):
    """Entries with their positions; `more` if further entries may follow."""

    entries: list[tuple[PagePosition, EntryT]]
    more: bool


@dataclass(frozen=True)
class _Order(Generic[EntryT]):
    """How rows become entries: in groups of `width` (ms), ordered by name within a group.

    `by_name` returns the stages that read a group after a name. `entries_of` maps a row to its entries. Rows
    are read by the instant `field`, if they match `only`. An entry lasts for `minutes` after the slot (an
    expression), and at most for `longest` (ms) after `field`.
    """

    width: int
    by_name: Callable[[str], list[Document]]
    entries_of: Callable[[Document], Iterable[tuple[PagePosition, EntryT]]]
    projection: Document
    longest: int
    field: str = "slot"
    minutes: str | Document = "$durationMinutes"
    only: Document | None = None


class WindowStore:
    """Reads active bookings, as a majority has them, in threads that no booking waits for."""

    def __init__(self, database: Database, bookings: BookingStore, grid: Grid) -> None:
        self._bookings = bookings
        self._grid = grid
        committed = ReadConcern("majority")
        self._committed = database.get_collection(COLLECTION).with_options(read_concern=committed)

    async def appointments(
        self, time_range: TimeRange, after: PagePosition | None, *, limit: int, timeout: float
    ) -> Page[Document]:
        """Read the first `limit` bookings after a position that overlap a time range, by slot and id.

        Raises:
            NoPrimary, NotExecuted: MongoDB did not answer in time.
        """
        order = _Order(1, _from_id, _appointments, _APPOINTMENT, self._longest())
        async with self._reading(timeout):
            return await self._page(order, time_range, after, limit)

    async def taken(
        self, time_range: TimeRange, after: PagePosition | None, *, limit: int, timeout: float
    ) -> Page[Cells]:
        """Read the first `limit` booked cells after a position in a time range, by cell and resource.

        The range is widened to whole cells. The cells of one booking at one resource, buffers included, are
        one entry.

        Raises:
            NoPrimary, NotExecuted: MongoDB did not answer in time.
        """
        wanted = time_range.resources

        def from_resource(name: str) -> list[Document]:
            names: Document = {"$gt": name} if wanted is None else {"$gt": name, "$in": list(wanted)}
            return [{"$unwind": "$resources"}, {"$match": {"resources": names}}, {"$sort": {"resources": 1}}]

        def entries_of(row: Document) -> Iterable[tuple[PagePosition, Cells]]:
            lasting = row.get("durationMinutes", 0) * MINUTE_MS or 1
            slot = int(row["slot"])  # BSON decodes a subclass of int
            before, later = (row.get(name, 0) * MINUTE_MS for name in _BUFFERS)
            first, end = self._grid.cells_of(slot - before, slot + lasting + later)
            minutes = (end - first) // MINUTE_MS if "durationMinutes" in row else None
            names = row["resources"] if isinstance(row["resources"], list) else [row["resources"]]
            for name in names:
                if wanted is None or name in wanted:
                    cells = Cells(first, name, minutes)
                    yield cells.position, cells

        start, end = self._grid.cells_of(time_range.start, time_range.end)
        whole = TimeRange(time_range.site, wanted, start, end)
        by_slot = _Order(
            self._grid.cell_ms,
            from_resource,
            entries_of,
            _TAKEN,
            self._longest(buffers=1),
            minutes=_WITH_BUFFER,
        )
        if self._grid.minutes == 0:  # without buffers
            async with self._reading(timeout):
                return await self._page(by_slot, whole, after, limit)
        by_begin = replace(by_slot, field="begin", longest=self._longest(buffers=2))
        async with self._reading(timeout):
            buffered = await self._page(by_begin, whole, after, limit)
            if buffered.more:  # what follows belongs to a later page
                until = buffered.entries[-1][0].at + self._grid.cell_ms
                whole = replace(whole, end=min(end, until))
            others = await self._page(replace(by_slot, only={"begin": None}), whole, after, limit)
        return _merged(buffered, others, limit)

    def _longest(self, *, buffers: int = 0) -> int:
        """Return how long before a range a booking that overlaps it may begin, with some buffers (ms)."""
        return (DAY_MINUTES + buffers * MOST_BUFFER_MINUTES) * MINUTE_MS if self._grid.minutes else 0

    @asynccontextmanager
    async def _reading(self, timeout: float) -> AsyncIterator[None]:
        """Bound reads, and refuse the command if MongoDB does not answer them in time."""
        await self._bookings.find_primary(timeout=timeout)
        try:
            with within(timeout):
                yield
        except (PyMongoError, TimeoutError):
            raise NotExecuted("The bookings could not be read") from None

    async def _page(
        self, order: _Order[EntryT], time_range: TimeRange, after: PagePosition | None, limit: int
    ) -> Page[EntryT]:
        entries: list[tuple[PagePosition, EntryT]] = []
        start = time_range.start - order.longest
        if after is not None:  # the rest of the group in which the previous page ended
            entries = await self._group(order, time_range, after, limit + 1)
            start = max(start, after.at + order.width)
        while len(entries) <= limit:
            stages: list[Document] = [{"$sort": {order.field: 1}}, {"$limit": limit + 1}]
            slots = {"$gte": DatetimeMS(start), "$lt": DatetimeMS(time_range.end)}
            rows = await self._find(order, time_range, slots, stages)
            found = sorted((pair for row in rows for pair in order.entries_of(row)), key=_position)
            if len(rows) <= limit:
                entries += found
                return Page(entries[:limit], len(entries) > limit)
            # The last group may have further rows.
            (last, _), _ = found[-1]
            entries += [pair for pair in found if pair[0].at < last]
            if not entries:
                entries = await self._group(order, time_range, PagePosition(last, ""), limit + 1)
                start = last + order.width
            if entries:
                break
        return Page(entries[:limit], more=True)

    async def _group(
        self, order: _Order[EntryT], time_range: TimeRange, after: PagePosition, limit: int
    ) -> list[tuple[PagePosition, EntryT]]:
        """Read the entries of one group after a position."""
        first, end = DatetimeMS(after.at), DatetimeMS(min(after.at + order.width, time_range.end))
        slots = {"$eq": first} if order.width == 1 else {"$gte": first, "$lt": end}
        if after.at >= time_range.end:
            return []
        stages = [*order.by_name(after.name), {"$limit": limit}]
        rows = await self._find(order, time_range, slots, stages)
        return sorted((pair for row in rows for pair in order.entries_of(row)), key=_position)

    async def _find(
        self, order: _Order[EntryT], time_range: TimeRange, slots: Document, stages: list[Document]
    ) -> list[Document]:
        pipeline, index = query(time_range, slots, order.field, order.minutes, order.only)
        pipeline += [*stages, {"$project": order.projection}]
        with timed(MONGODB_SECONDS.labels("window")):
            return await read_apart(self._committed, pipeline, hint=index)


def query(
    time_range: TimeRange,
    instants: Document,
    field: str = "slot",
    minutes: str | Document = "$durationMinutes",
    only: Document | None = None,
) -> tuple[list[Document], str]:
    """Return the `$match` stage for active bookings in a time range, and the index that serves it.

    Args:
        time_range: the time that they overlap.
        instants: the condition on `field`, by which they are read.
        field: `slot` or `begin`.
        minutes: the expression of the minutes that they last after their slot.
        only: further conditions.
    """
    lasting: Document = {"$multiply": [minutes, MINUTE_MS]}
    # On a grid of 0 a booking has no length, and overlaps a range that begins with it.
    ends: Document = {"$add": ["$slot", {"$ifNull": [lasting, 1]}]}
    match: Document = {
        "site": time_range.site,
        field: instants,
        "status": STATUS_BOOKED,
        "$expr": {"$gt": [ends, DatetimeMS(time_range.start)]},
        **(only or {}),
    }
    index = "by_site_and_slot"
    if time_range.resources is not None:
        one, *others = time_range.resources
        match["resources"] = {"$in": [one, *others]} if others else one
        index = "by_resource_and_slot"
    return [{"$match": match}], "by_site_and_begin" if field == "begin" else index


def _merged(one: Page[EntryT], other: Page[EntryT], limit: int) -> Page[EntryT]:
    """Return the first entries of two pages in order, as far as both pages are complete."""
    entries = sorted((*one.entries, *other.entries), key=_position)
    ends = [page.entries[-1][0] for page in (one, other) if page.more]
    certain = [pair for pair in entries if not ends or pair[0] <= min(ends)]
    return Page(certain[:limit], bool(ends) or len(certain) > limit)


def _from_id(id: str) -> list[Document]:
    return [{"$match": {"_id": {"$gt": id}}}, {"$sort": {"_id": 1}}]


def _appointments(row: Document) -> Iterable[tuple[PagePosition, Document]]:
    return [(PagePosition(int(row.pop("at")), row["id"]), row)]


def _position(pair: tuple[PagePosition, object]) -> PagePosition:
    return pair[0]
