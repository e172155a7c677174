"""What lies in a window of time at a resource: read from an index, in the order of the slots.

Of the bookings that are active, no two of one resource overlap, so a slot has one of them, and a place in
that order is told by its slot alone.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from shared.contract.errors import NotExecuted
from shared.contract.fields import DAY_MINUTES
from shared.domain.booking import Booking
from shared.domain.grid import Grid
from shared.stores.metrics import MONGODB_SECONDS, timed
from shared.stores.mongo.bookings import COLLECTION, STATUS_BOOKED, BookingStore
from shared.stores.mongo.connection import Database, Document
from shared.stores.mongo.writes import within

_NOT_READ = {"claims": 0, "history": 0, "moves": 0}
_START = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Stretch:
    """From `start` up to `end` at a resource of a site; of that, what has its slot later than `after`."""

    site: str
    resource: str
    start: datetime
    end: datetime
    after: datetime | None = None


class WindowStore:
    """Reads active bookings, as a majority has them."""

    def __init__(self, database: Database, bookings: BookingStore, grid: Grid) -> None:
        self._bookings = bookings
        # How long before a stretch what reaches into it may begin.
        self._longest = timedelta(minutes=DAY_MINUTES if grid.minutes else 0)
        committed = ReadConcern("majority")
        self._committed = database.get_collection(COLLECTION).with_options(read_concern=committed)

    async def find(self, stretch: Stretch, *, limit: int, timeout: float) -> list[Booking]:
        """The first bookings that overlap a stretch, by slot, without claims and history.

        Raises:
            NoPrimary, NotExecuted: MongoDB did not answer in time.
        """
        await self._bookings.find_primary(timeout=timeout)
        try:
            with within(timeout), timed(MONGODB_SECONDS.labels("window")):
                # In one batch: between two of them a booking may move out of what is yet to come.
                rows = await self._find(stretch).limit(limit).batch_size(limit).to_list(None)
        except (PyMongoError, TimeoutError):
            raise NotExecuted("The bookings could not be read") from None
        return [Booking.from_document(row) for row in rows]

    def _find(self, stretch: Stretch) -> Any:
        slots: Document = {
            "$gte": max(stretch.start, _START + self._longest) - self._longest,
            "$lt": stretch.end,
        }
        if stretch.after is not None:
            slots["$gt"] = stretch.after
        minutes: Document = {"$multiply": ["$durationMinutes", 60_000]}
        # Without a grid, what has no length overlaps what begins with it.
        ends: Document = {"$add": ["$slot", {"$ifNull": [minutes, 1]}]}
        query = {
            "site": stretch.site,
            "resources": stretch.resource,
            "slot": slots,
            "status": STATUS_BOOKED,
            "$expr": {"$gt": [ends, stretch.start]},
        }
        return self._committed.find(query, _NOT_READ).sort("slot", 1)
