"""Bookings in MongoDB. One insert decides: the unique indexes are the only judge of who gets a slot.

Reads that decide stand behind a read barrier (`read_barrier.py`).
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import pymongo
from pymongo import InsertOne
from pymongo.errors import BulkWriteError, PyMongoError, ServerSelectionTimeoutError
from pymongo.read_concern import ReadConcern

from shared.contract.errors import NoPrimary, NotExecuted, OutcomeUnknown
from shared.domain.booking import Booking
from shared.stores.metrics import MONGODB_SECONDS, timed
from shared.stores.mongo.connection import Database, Document, find_after, knows_primary
from shared.stores.mongo.read_barrier import ReadBarrier

COLLECTION = "appointments"
DUPLICATE_KEY = 11000
STATUS_BOOKED = "booked"
SHORTEST_SECONDS = 0.001
PRIMARY_SECONDS = 0.4  # the driver looks again each half second, so this takes one look

InSite = tuple[str, str]
"""A site, and an idempotency key or a claim in it."""


class Inserted(Enum):
    """What became of one booking of a batch."""

    BOOKED = auto()
    DUPLICATE = auto()
    NOT_EXECUTED = auto()
    NO_PRIMARY = auto()
    UNKNOWN = auto()


@dataclass(frozen=True)
class Found:
    """Bookings by (site, idempotency key), and the (site, claim) pairs that active bookings have."""

    by_key: Mapping[InSite, Booking] = field(default_factory=dict)
    booked: frozenset[InSite] = frozenset()


class BookingStore:
    """The collection `appointments`; every call is bounded by `timeout` seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._barrier = ReadBarrier(database)
        self._latest = database.get_collection(COLLECTION)
        self._committed = self._latest.with_options(read_concern=ReadConcern("majority"))

    async def find_primary(self, *, timeout: float) -> None:
        """Wait for a primary where none is known, for so long that its absence can still be told in time.

        Raises:
            NoPrimary
        """
        if not knows_primary(self._database):
            try:
                with _within(min(timeout, PRIMARY_SECONDS)):
                    await self._database.client.admin.command("ping")
            except PyMongoError:
                raise NoPrimary from None

    async def insert_many(self, bookings: Sequence[Booking], *, timeout: float) -> list[Inserted]:
        """Insert bookings in one round trip; one outcome each, in their order. Never raises for MongoDB."""
        if not bookings:
            return []
        inserts = [InsertOne(booking.to_document()) for booking in bookings]
        try:
            with _within(timeout), timed(MONGODB_SECONDS.labels("insert")):
                await self._latest.bulk_write(inserts, ordered=False)
        except BulkWriteError as error:
            return _read_bulk_errors(error.details, len(bookings))
        except ServerSelectionTimeoutError:  # of a first attempt: a retry raises what the attempt before met
            return [Inserted.NO_PRIMARY] * len(bookings)
        except PyMongoError:
            return [Inserted.UNKNOWN] * len(bookings)
        return [Inserted.BOOKED] * len(bookings)

    async def get_many(self, ids: Collection[str], *, timeout: float) -> dict[str, Booking]:
        """Bookings by their ids, as a majority has them; those that are not there are left out.

        Raises:
            NoPrimary, NotExecuted: MongoDB did not answer in time.
        """
        await self.find_primary(timeout=timeout)
        try:
            with _within(timeout):
                rows = await self._committed.find({"_id": {"$in": list(ids)}}).to_list(None)
                # A new primary may not know yet of all that a majority has.
                if missing := set(ids) - {row["_id"] for row in rows}:
                    rows += await self._find_behind_barrier({"_id": {"$in": list(missing)}}, timeout)
        except (PyMongoError, TimeoutError):
            raise NotExecuted("The booking could not be read") from None
        return {row["_id"]: Booking.from_document(row) for row in rows}

    async def find(
        self, *, keys: Collection[InSite] = (), claims: Collection[InSite] = (), timeout: float
    ) -> Found:
        """The bookings that have one of `keys`, and which of `claims` are an active booking's.

        Raises:
            NoPrimary, OutcomeUnknown: MongoDB did not answer in time.
        """
        any_of = [{"site": site, "idempotencyKey": {"$in": those}} for site, those in _by_site(keys)]
        any_of += [
            {"site": site, "status": STATUS_BOOKED, "claims": {"$in": those}}
            for site, those in _by_site(claims)
        ]
        if not any_of:
            return Found()
        await self.find_primary(timeout=timeout)
        try:
            with _within(timeout):
                rows = await self._find_behind_barrier({"$or": any_of}, timeout)
        except (PyMongoError, TimeoutError):
            raise OutcomeUnknown() from None
        by_key = {(row["site"], row["idempotencyKey"]): row for row in rows}
        active = ({(row["site"], claim) for claim in row["claims"]} for row in rows if _is_active(row))
        return Found(
            {key: Booking.from_document(by_key[key]) for key in by_key.keys() & set(keys)},
            frozenset[InSite]().union(*active).intersection(claims),
        )

    async def _find_behind_barrier(self, query: Document, timeout: float) -> list[Document]:
        moment = await self._barrier.passed(timeout=timeout)
        with timed(MONGODB_SECONDS.labels("find")):
            return await find_after(moment, self._committed, query)


def _is_active(row: Document) -> bool:
    return bool(row["status"] == STATUS_BOOKED)


def _by_site(pairs: Collection[InSite]) -> list[tuple[str, list[str]]]:
    values: dict[str, list[str]] = {}
    for site, value in pairs:
        values.setdefault(site, []).append(value)
    return list(values.items())


def _within(seconds: float) -> AbstractContextManager[None]:
    """Bound what is inside; nothing is left to a caller whose deadline has just passed."""
    return pymongo.timeout(max(seconds, SHORTEST_SECONDS))


def _read_bulk_errors(details: Mapping[str, Any], count: int) -> list[Inserted]:
    """A failed write concern makes every item unknown, the duplicates too: their winner may roll back.

    So does a count that does not add up: of some items nothing was said.
    """
    if details["writeConcernErrors"] or details["nInserted"] + len(details["writeErrors"]) != count:
        return [Inserted.UNKNOWN] * count
    outcomes = [Inserted.BOOKED] * count
    for error in details["writeErrors"]:
        duplicate = error["code"] == DUPLICATE_KEY
        outcomes[error["index"]] = Inserted.DUPLICATE if duplicate else Inserted.UNKNOWN
    return outcomes
