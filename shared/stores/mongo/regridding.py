"""A change of the grid, step by step: what each step writes to MongoDB. `booking_worker/regrid` orders them.

- The mark, in `meta`: from then on no worker starts, and one that wakes finds that it may not serve.
- The validator of `appointments` admits `booked` with the new `slotMinutes` only: claims of the old grid that
  a sleeping worker, or the network, still had in hand are refused inside mongod, however late they come. It
  stays after the change.
- The rows that are booked get the claims of the new grid. Others keep theirs, which count no more: of a
  cancelled booking, which is never booked again, `slotMinutes` still says on which grid they are cells.
- The settled grid, and the end of the mark, in one write.

The unique index stands throughout, and rows are rewritten one by one, in any order. No new claim of a booking
meets an old claim of another one: if the same instant begins a cell of both grids, the cell of the finer grid
lies in that of the coarser one. So on the coarser grid both bookings touch the same cell, and would be in
conflict there: on the old grid the index excludes that, on the new one the check before the first rewrite.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import pymongo
from pymongo import UpdateOne

from shared.domain.claim import Claims
from shared.domain.grid import SlotRange
from shared.process.settings import Misconfigured
from shared.stores.mongo.answered import Unanswered, answered
from shared.stores.mongo.bookings import COLLECTION, STATUS_BOOKED
from shared.stores.mongo.connection import Database, Document, aggregate
from shared.stores.mongo.leases import LIVE
from shared.stores.mongo.meta import COLLECTION as META
from shared.stores.mongo.meta import ID, OTHER_VERSION, VERSION
from shared.stores.mongo.writes import WriteResult, write

STEP_SECONDS = 30.0
ROWS_AT_ONCE = 500
_PLACE = {"site": 1, "resources": 1, "slot": 1, "durationMinutes": 1, "version": 1}


@dataclass(frozen=True)
class TargetGrid:
    """Cells of `minutes`; bookings without a duration get one of `duration` minutes."""

    minutes: int
    duration: int | None = None


@dataclass(frozen=True)
class State:
    """The settled grid, the change that is unfinished, and the processes that have a lease."""

    minutes: int
    unfinished: TargetGrid | None
    workers: tuple[str, ...]


@dataclass(frozen=True)
class BookedPlace:
    """A booking that stands: where it lies (a `Place`), without its patient."""

    id: str
    version: int
    site: str
    resources: tuple[str, ...]
    slot: datetime
    durationMinutes: int | None  # as the messages call it

    @classmethod
    def from_document(cls, row: Document) -> "BookedPlace":
        return cls(
            row["_id"],
            row["version"],
            row["site"],
            tuple(row["resources"]),
            row["slot"],
            row["durationMinutes"],
        )


class RegridStore:
    """The steps; each may be repeated. All raise `Unanswered` for MongoDB."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._meta = database.get_collection(META)
        self._rows = database.get_collection(COLLECTION)

    async def look(self) -> State | None:
        """How the database stands; None if no worker has ever settled its grid.

        Raises:
            Misconfigured: it has data of another version.
        """
        with _answered():
            shown: Document = {"version": 1, "slotMinutes": 1, "regridding": 1, "live": LIVE}
            found = await self._meta.find_one({"_id": ID}, shown)
        if found is None:
            return None
        if found["version"] != VERSION:
            raise Misconfigured(OTHER_VERSION.format(found["version"]))
        mark = found.get("regridding")
        workers = tuple(lease["process"] for lease in found["live"])
        return State(found["slotMinutes"], TargetGrid(**mark) if mark else None, workers)

    async def begin(self, target: TargetGrid) -> bool:
        """Mark the change as begun; False if a worker has a lease, or another change has begun."""
        mark = {"minutes": target.minutes, "duration": target.duration}
        idle = {"$expr": {"$eq": [{"$size": LIVE}, 0]}}
        free = {"_id": ID, "$or": [{"regridding": {"$exists": False}, **idle}, {"regridding": mark}]}
        with _answered():
            return bool(await self._meta.find_one_and_update(free, {"$set": {"regridding": mark}}))

    async def admit_only(self, minutes: int) -> None:
        """Have MongoDB refuse every write of a booked row that is not of a grid of `minutes`."""
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
        """All bookings that stand, by site and slot."""
        stages: list[Document] = [
            {"$match": {"status": STATUS_BOOKED}},
            {"$project": _PLACE},
            {"$sort": {"site": 1, "slot": 1}},
        ]
        with answered():
            async for row in aggregate(self._rows, stages):
                yield BookedPlace.from_document(row)

    async def of_another_grid(self, minutes: int) -> AsyncIterator[list[BookedPlace]]:
        """The bookings whose rows are not of a grid of `minutes`, some at once."""
        query = {"status": STATUS_BOOKED, "slotMinutes": {"$ne": minutes}}
        with answered():
            cursor = self._rows.find(query, _PLACE, batch_size=ROWS_AT_ONCE)
            while rows := await cursor.to_list(ROWS_AT_ONCE):
                yield [BookedPlace.from_document(row) for row in rows]

    async def rewrite(self, minutes: int, bookings: Sequence[tuple[BookedPlace, SlotRange, Claims]]) -> None:
        """Give rows the claims of a grid of `minutes`. One that was cancelled meanwhile is left as it is."""
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
        written = set(await write(self._rows, "regrid", updates, timeout=STEP_SECONDS))
        if not written <= {WriteResult.DONE, WriteResult.UNSURE}:
            raise Unanswered("MongoDB did not rewrite all rows")

    async def finish(self, target: TargetGrid) -> None:
        """Settle the new grid, and end the mark and leases of the past, unless that was done before."""
        ended = {"regridding": "", "leases": ""}
        done: Document = {"$set": {"slotMinutes": target.minutes}, "$unset": ended}
        await self._end_change(target, done)

    async def abandon(self, target: TargetGrid, minutes: int) -> None:
        """Go back to the grid of `minutes` before any row was rewritten."""
        await self.admit_only(minutes)
        await self._end_change(target, {"$unset": {"regridding": ""}})

    async def _end_change(self, target: TargetGrid, update: Document) -> None:
        mark = {"minutes": target.minutes, "duration": target.duration}
        with _answered():
            await self._meta.find_one_and_update({"_id": ID, "regridding": mark}, update)


@contextmanager
def _answered() -> Iterator[None]:
    """Bound a step."""
    with answered(), pymongo.timeout(STEP_SECONDS):
        yield
