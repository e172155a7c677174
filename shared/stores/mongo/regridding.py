"""Write the steps of a change of the grid to MongoDB. `booking_worker/regrid` orders them.

- Record the change in `meta`. From then on no worker starts, and a worker that wakes up stops serving.
- Set the validator of `appointments`, which admits `booked` only with the new `slotMinutes`. MongoDB refuses
  claims of the old grid that a sleeping worker or the network still had in flight, however late they arrive.
  The validator stays after the change.
- Rewrite the booked rows with the claims of the new grid. Other rows keep their claims, which no index
  counts. A cancelled booking is never booked again, and its `slotMinutes` names the grid of its claims.
- Settle the new grid and remove the record of the change, in one write.

The unique index stands throughout, and rows are rewritten one by one, in any order. A new claim of one
booking never equals an old claim of another one. If the same instant begins a cell of both grids, the cell of
the finer grid lies in that of the coarser one, so both bookings touch the same cell of the coarser grid and
conflict there. On the old grid the index excludes that, on the new one the check before the first rewrite.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import pymongo
from pymongo import UpdateOne

from shared.domain.booked_service import BookedService
from shared.domain.claim import Claims
from shared.domain.grid import SlotRange
from shared.process.settings import Misconfigured
from shared.stores.mongo.answered import Unanswered, answered
from shared.stores.mongo.bookings import COLLECTION, STATUS_BOOKED
from shared.stores.mongo.bulk import WriteResult, bulk_write
from shared.stores.mongo.connection import Database, Document, aggregate
from shared.stores.mongo.leases import LIVE
from shared.stores.mongo.meta import COLLECTION as META
from shared.stores.mongo.meta import ID, OTHER_VERSION, VERSION

STEP_SECONDS = 30.0
ROWS_AT_ONCE = 500
_PLACE = {
    "site": 1,
    "resources": 1,
    "slot": 1,
    "durationMinutes": 1,
    "version": 1,
    "service": 1,
    "bufferBefore": 1,
    "bufferAfter": 1,
}


@dataclass(frozen=True)
class TargetGrid:
    """The grid to change to: cells of `minutes`.

    Bookings without a duration get one of `duration` minutes.
    """

    minutes: int
    duration: int | None = None


@dataclass(frozen=True)
class State:
    """The settled grid (minutes), the unfinished change, and the processes that have a lease."""

    minutes: int
    unfinished: TargetGrid | None
    workers: tuple[str, ...]


@dataclass(frozen=True)
class BookedPlace:
    """The place of an active booking (a `Place`), without its patient."""

    id: str
    version: int
    site: str
    resources: tuple[str, ...]
    slot: datetime
    durationMinutes: int | None  # as the messages call it
    service: BookedService | None = None

    @property
    def begin(self) -> datetime:
        """The begin of the buffer before the slot; without one, the slot."""
        return self.slot - timedelta(minutes=self.service.before) if self.service else self.slot

    @classmethod
    def from_document(cls, row: Document) -> "BookedPlace":
        return cls(
            row["_id"],
            row["version"],
            row["site"],
            tuple(row["resources"]),
            row["slot"],
            row["durationMinutes"],
            BookedService.from_document(row),
        )


class RegridStore:
    """The steps, each of which may be repeated. All raise `Unanswered` if MongoDB fails."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._meta = database.get_collection(META)
        self._rows = database.get_collection(COLLECTION)

    async def look(self) -> State | None:
        """Read the state of the database; None if no worker has ever settled its grid.

        Raises:
            Misconfigured: the database has data of another version.
        """
        with _answered():
            shown: Document = {"version": 1, "slotMinutes": 1, "regridding": 1, "live": LIVE}
            found = await self._meta.find_one({"_id": ID}, shown)
        if found is None:
            return None
        if found["version"] != VERSION:
            raise Misconfigured(OTHER_VERSION.format(found["version"]))
        unfinished = found.get("regridding")
        workers = tuple(lease["process"] for lease in found["live"])
        return State(found["slotMinutes"], TargetGrid(**unfinished) if unfinished else None, workers)

    async def begin(self, target: TargetGrid) -> bool:
        """Record the change as begun; False if a worker has a lease, or another change has begun."""
        change = {"minutes": target.minutes, "duration": target.duration}
        idle = {"$expr": {"$eq": [{"$size": LIVE}, 0]}}
        free = {"_id": ID, "$or": [{"regridding": {"$exists": False}, **idle}, {"regridding": change}]}
        with _answered():
            return bool(await self._meta.find_one_and_update(free, {"$set": {"regridding": change}}))

    async def admit_only(self, minutes: int) -> None:
        """Have MongoDB refuse every write of a booked row whose grid is not `minutes`."""
        validator = {"$or": [{"status": {"$ne": STATUS_BOOKED}}, {"slotMinutes": minutes}]}
        options: Document = {
            "validator": validator,
            "validationLevel": "strict",
            "validationAction": "error",
        }
        with _answered():
            if not await self._database.list_collection_names(filter={"name": COLLECTION}):
                await self._database.create_collection(COLLECTION)
            await self._database.command("collMod", COLLECTION, **options, writeConcern={"w": "majority"})

    async def in_order(self) -> AsyncIterator[BookedPlace]:
        """Yield all active bookings, by site and slot."""
        stages: list[Document] = [
            {"$match": {"status": STATUS_BOOKED}},
            {"$project": _PLACE},
            {"$sort": {"site": 1, "slot": 1}},
        ]
        with answered():
            async for row in aggregate(self._rows, stages):
                yield BookedPlace.from_document(row)

    async def of_another_grid(self, minutes: int) -> AsyncIterator[list[BookedPlace]]:
        """Yield, in batches, the bookings whose rows are not of a grid of `minutes`."""
        query = {"status": STATUS_BOOKED, "slotMinutes": {"$ne": minutes}}
        with answered():
            cursor = self._rows.find(query, _PLACE, batch_size=ROWS_AT_ONCE)
            while rows := await cursor.to_list(ROWS_AT_ONCE):
                yield [BookedPlace.from_document(row) for row in rows]

    async def rewrite(self, minutes: int, bookings: Sequence[tuple[BookedPlace, SlotRange, Claims]]) -> None:
        """Set the claims of rows to those of a grid of `minutes`.

        A row that was cancelled meanwhile is skipped.
        """
        updates = [
            UpdateOne(
                {
                    "_id": booked.id,
                    "site": booked.site,
                    "status": STATUS_BOOKED,
                    "version": booked.version,
                },
                {
                    "$set": {
                        "claims": list(claims.keys),
                        "slotMinutes": minutes,
                        "durationMinutes": slot_range.duration,
                    }
                },
            )
            for booked, slot_range, claims in bookings
        ]
        written = set(await bulk_write(self._rows, "regrid", updates, timeout=STEP_SECONDS))
        if not written <= {WriteResult.DONE, WriteResult.UNSURE}:
            raise Unanswered("MongoDB did not rewrite all rows")

    async def finish(self, target: TargetGrid) -> None:
        """Settle the new grid, and remove the record of the change and old leases. A retry has no effect."""
        ended = {"regridding": "", "leases": ""}
        done: Document = {"$set": {"slotMinutes": target.minutes}, "$unset": ended}
        await self._end_change(target, done)

    async def abandon(self, target: TargetGrid, minutes: int) -> None:
        """Return to the grid of `minutes` before any row was rewritten."""
        await self.admit_only(minutes)
        await self._end_change(target, {"$unset": {"regridding": ""}})

    async def _end_change(self, target: TargetGrid, update: Document) -> None:
        change = {"minutes": target.minutes, "duration": target.duration}
        with _answered():
            await self._meta.find_one_and_update({"_id": ID, "regridding": change}, update)


@contextmanager
def _answered() -> Iterator[None]:
    """Bound a step by `STEP_SECONDS`."""
    with answered(), pymongo.timeout(STEP_SECONDS):
        yield
