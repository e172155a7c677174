"""Bookings in MongoDB. One insert decides: the unique indexes are the only judge of who gets a slot.

Reads that decide are fenced: a majority write, and a majority read that comes after it in one causally
consistent session. A primary that was deposed and does not know it yet can take no such write, so what
is read is all that was acknowledged before the question, and absent is absent. (Read concern
linearizable promises the same, and takes 100 ms on a set of one.)
https://www.mongodb.com/docs/manual/core/causal-consistency-read-write-concerns/
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from enum import Enum, auto
from typing import Any

import pymongo
from pymongo import InsertOne
from pymongo.errors import BulkWriteError, PyMongoError, ServerSelectionTimeoutError
from pymongo.read_concern import ReadConcern

from shared.contract.errors import NoPrimary, NotExecuted, OutcomeUnknown
from shared.domain.booking import Booking
from shared.stores.mongo.connection import Database, Document, knows_primary

COLLECTION = "appointments"
FENCE = {"_id": "fence"}
DUPLICATE_KEY = 11000
STATUS_BOOKED = "booked"
SHORTEST_SECONDS = 0.001
PRIMARY_SECONDS = 0.4  # the driver looks again each half second, so this takes one look

SlotKey = tuple[str, datetime]


class Inserted(Enum):
    """What became of one booking of a batch."""

    BOOKED = auto()
    DUPLICATE = auto()
    NOT_EXECUTED = auto()
    NO_PRIMARY = auto()
    UNKNOWN = auto()


class BookingStore:
    """The collection `appointments`; every call is bounded by `timeout` seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._fences = database.get_collection("fences")
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
            with _within(timeout):
                await self._latest.bulk_write(inserts, ordered=False)
        except BulkWriteError as error:
            return _read_bulk_errors(error.details, len(bookings))
        except ServerSelectionTimeoutError:  # of a first attempt: a retry raises what the attempt before met
            return [Inserted.NO_PRIMARY] * len(bookings)
        except PyMongoError:
            return [Inserted.UNKNOWN] * len(bookings)
        return [Inserted.BOOKED] * len(bookings)

    async def get(self, id: str, *, timeout: float) -> Booking | None:
        """A booking by its id, as a majority has it.

        Raises:
            NoPrimary, NotExecuted: MongoDB did not answer in time.
        """
        await self.find_primary(timeout=timeout)
        try:
            with _within(timeout):
                row = await self._committed.find_one({"_id": id})
                # A new primary may not know yet of all that a majority has.
                rows = [row] if row else await self._find_fenced({"_id": id})
        except PyMongoError:
            raise NotExecuted("The booking could not be read") from None
        return Booking.from_document(rows[0]) if rows else None

    async def find_by_keys(
        self, keys: Iterable[tuple[str, str]], *, timeout: float
    ) -> dict[tuple[str, str], Booking]:
        """Bookings by (resource, idempotency key); the keys that have none are left out.

        Raises:
            NoPrimary, OutcomeUnknown: MongoDB did not answer in time.
        """
        rows = await self._find_any("idempotencyKey", keys, {}, timeout)
        return {(row["resource"], row["idempotencyKey"]): Booking.from_document(row) for row in rows}

    async def find_booked(self, slots: Iterable[SlotKey], *, timeout: float) -> set[SlotKey]:
        """Those of the given (resource, instant) pairs that an active booking covers.

        Raises:
            NoPrimary, OutcomeUnknown: MongoDB did not answer in time.
        """
        asked = set(slots)
        rows = await self._find_any("occupies", asked, {"status": STATUS_BOOKED}, timeout)
        return asked & {(row["resource"], instant) for row in rows for instant in row["occupies"]}

    async def _find_any(
        self, field: str, pairs: Iterable[tuple[str, Any]], also: Document, timeout: float
    ) -> list[Document]:
        """The rows whose resource and `field` are one of `pairs`."""
        values: dict[str, list[Any]] = defaultdict(list)
        for resource, value in pairs:
            values[resource].append(value)
        if not values:
            return []
        any_of = [{"resource": name, field: {"$in": listed}, **also} for name, listed in values.items()]
        await self.find_primary(timeout=timeout)
        try:
            with _within(timeout):
                return await self._find_fenced({"$or": any_of})
        except PyMongoError:
            raise OutcomeUnknown() from None

    async def _find_fenced(self, query: Document) -> list[Document]:
        async with await self._database.client.start_session(causal_consistency=True) as session:
            # It has to change something: a write without effect is acknowledged by whoever takes it.
            await self._fences.find_one_and_update(
                FENCE, {"$inc": {"writes": 1}}, upsert=True, session=session
            )
            return await self._committed.find(query, session=session).to_list(None)


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
