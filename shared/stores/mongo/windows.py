"""Read the bookings in a window of time from an index, page by page, as raw rows.

The entries of a page are ordered by group (an instant, or a cell of the grid) and within a group by name (an
id, or a resource). MongoDB reads rows by slot, so a page ends with a whole group. Only a group that is larger
than a page is read in parts, by name.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from bson.datetime_ms import DatetimeMS
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from shared.contract.errors import NotExecuted
from shared.contract.fields import DAY_MINUTES
from shared.domain.grid import MINUTE_MS, Grid
from shared.domain.time_range import Cells, PagePosition, TimeRange
from shared.stores.metrics import MONGODB_SECONDS, timed
from shared.stores.mongo.bookings import COLLECTION, STATUS_BOOKED, BookingStore
from shared.stores.mongo.bulk import within
from shared.stores.mongo.connection import Database, Document, read_apart

_ISO = "%Y-%m-%dT%H:%M:%S.%LZ"
_LASTING = {"$ifNull": ["$durationMinutes", "$$REMOVE"]}
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
    "status": 1,
    "version": 1,
    "createdAt": {"$dateToString": {"date": "$createdAt", "format": _ISO}},
}
"""Projects a row to the appointment that callers see, and to `at`, its slot (Unix ms)."""
_TAKEN: Document = {"_id": 0, "resources": 1, "slot": {"$toLong": "$slot"}, "durationMinutes": _LASTING}

EntryT = TypeVar("EntryT")


@dataclass(frozen=True)
class Page(Generic[EntryT]):
    """Entries with their positions; `more` if further entries may follow."""

    entries: list[tuple[PagePosition, EntryT]]
    more: bool


@dataclass(frozen=True)
class _Order(Generic[EntryT]):
    """How rows become entries: in groups of `width` (ms), ordered by name within a group.

    `by_name` returns the stages that read a group after a name. `entries_of` maps a row to its entries.
    """

    width: int
    by_name: Callable[[str], list[Document]]
    entries_of: Callable[[Document], Iterable[tuple[PagePosition, EntryT]]]
    projection: Document


class WindowStore:
    """Reads active bookings, as a majority has them, in threads that no booking waits for."""

    def __init__(self, database: Database, bookings: BookingStore, grid: Grid) -> None:
        self._bookings = bookings
        self._grid = grid
        # How long before a range a booking that overlaps it may begin (ms).
        self._longest = DAY_MINUTES * MINUTE_MS if grid.minutes else 0
        committed = ReadConcern("majority")
        self._committed = database.get_collection(COLLECTION).with_options(read_concern=committed)

    async def appointments(
        self, time_range: TimeRange, after: PagePosition | None, *, limit: int, timeout: float
    ) -> Page[Document]:
        """Read the first `limit` bookings after a position that overlap a time range, by slot and id.

        Raises:
            NoPrimary, NotExecuted: MongoDB did not answer in time.
        """
        order = _Order(1, _from_id, _appointments, _APPOINTMENT)
        return await self._read(order, time_range, after, limit, timeout)

    async def taken(
        self, time_range: TimeRange, after: PagePosition | None, *, limit: int, timeout: float
    ) -> Page[Cells]:
        """Read the first `limit` booked cells after a position in a time range, by cell and resource.

        The range is widened to whole cells. The cells of one booking at one resource are one entry.

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
            first, end = self._grid.cells_of(slot, slot + lasting)
            minutes = (end - first) // MINUTE_MS if "durationMinutes" in row else None
            names = row["resources"] if isinstance(row["resources"], list) else [row["resources"]]
            for name in names:
                if wanted is None or name in wanted:
                    cells = Cells(first, name, minutes)
                    yield cells.position, cells

        start, end = self._grid.cells_of(time_range.start, time_range.end)
        whole = TimeRange(time_range.site, wanted, start, end)
        order = _Order(self._grid.cell_ms, from_resource, entries_of, _TAKEN)
        return await self._read(order, whole, after, limit, timeout)

    async def _read(
        self,
        order: _Order[EntryT],
        time_range: TimeRange,
        after: PagePosition | None,
        limit: int,
        timeout: float,
    ) -> Page[EntryT]:
        await self._bookings.find_primary(timeout=timeout)
        try:
            with within(timeout):
                return await self._page(order, time_range, after, limit)
        except (PyMongoError, TimeoutError):
            raise NotExecuted("The bookings could not be read") from None

    async def _page(
        self, order: _Order[EntryT], time_range: TimeRange, after: PagePosition | None, limit: int
    ) -> Page[EntryT]:
        entries: list[tuple[PagePosition, EntryT]] = []
        start = time_range.start - self._longest
        if after is not None:  # the rest of the group in which the previous page ended
            entries = await self._group(order, time_range, after, limit + 1)
            start = max(start, after.at + order.width)
        while len(entries) <= limit:
            stages: list[Document] = [{"$sort": {"slot": 1}}, {"$limit": limit + 1}]
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
        pipeline, index = query(time_range, slots)
        pipeline += [*stages, {"$project": order.projection}]
        with timed(MONGODB_SECONDS.labels("window")):
            return await read_apart(self._committed, pipeline, hint=index)


def query(time_range: TimeRange, slots: Document) -> tuple[list[Document], str]:
    """Return the `$match` stage for active bookings in a time range, and the index that serves it."""
    minutes: Document = {"$multiply": ["$durationMinutes", MINUTE_MS]}
    # On a grid of 0 a booking has no length, and overlaps a range that begins with it.
    ends: Document = {"$add": ["$slot", {"$ifNull": [minutes, 1]}]}
    match: Document = {
        "site": time_range.site,
        "slot": slots,
        "status": STATUS_BOOKED,
        "$expr": {"$gt": [ends, DatetimeMS(time_range.start)]},
    }
    if time_range.resources is None:
        return [{"$match": match}], "by_site_and_slot"
    one, *others = time_range.resources
    match["resources"] = {"$in": [one, *others]} if others else one
    return [{"$match": match}], "by_resource_and_slot"


def _from_id(id: str) -> list[Document]:
    return [{"$match": {"_id": {"$gt": id}}}, {"$sort": {"_id": 1}}]


def _appointments(row: Document) -> Iterable[tuple[PagePosition, Document]]:
    return [(PagePosition(int(row.pop("at")), row["id"]), row)]


def _position(pair: tuple[PagePosition, object]) -> PagePosition:
    return pair[0]
