"""Bookings in MongoDB. One insert decides: the unique indexes are the only judge of who gets a slot.

Reads that decide go to the primary with read concern local, which sees a superset of what is
acknowledged, and are answered only once a majority has what they saw: the same question is asked
again, with read concern majority, in one causally consistent session.
https://www.mongodb.com/docs/manual/core/causal-consistency-read-write-concerns/
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from enum import Enum, auto
from typing import Any

import pymongo
from pymongo import InsertOne
from pymongo.errors import BulkWriteError, PyMongoError, ServerSelectionTimeoutError
from pymongo.read_concern import ReadConcern

from shared.booking import Booking
from shared.errors import NotExecuted, OutcomeUnknown
from shared.stores.mongodb import Database, Document

COLLECTION = "appointments"
DUPLICATE_KEY = 11000
STATUS_BOOKED = "booked"
SHORTEST_SECONDS = 0.001

SlotKey = tuple[str, datetime]


class Inserted(Enum):
    """What became of one booking of a batch."""

    BOOKED = auto()
    DUPLICATE = auto()
    NOT_EXECUTED = auto()
    UNKNOWN = auto()


class BookingStore:
    """The collection `appointments`; every call is bounded by `timeout` seconds."""

    def __init__(self, database: Database) -> None:
        self._client = database.client
        self._latest = database.get_collection(COLLECTION)
        self._committed = self._latest.with_options(read_concern=ReadConcern("majority"))

    async def book_many(self, bookings: Sequence[Booking], *, timeout: float) -> list[Inserted]:
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
            return [Inserted.NOT_EXECUTED] * len(bookings)
        except PyMongoError:
            return [Inserted.UNKNOWN] * len(bookings)
        return [Inserted.BOOKED] * len(bookings)

    async def get(self, id: str, *, timeout: float) -> Booking | None:
        """A booking by its id, as a majority has it.

        Raises:
            NotExecuted: MongoDB did not answer in time.
        """
        try:
            with _within(timeout):
                row = await self._committed.find_one({"_id": id})
        except PyMongoError:
            raise NotExecuted("The booking could not be read") from None
        return Booking.from_document(row) if row else None

    async def find_by_keys(
        self, keys: Iterable[tuple[str, str]], *, timeout: float
    ) -> dict[tuple[str, str], Booking]:
        """Bookings by (resource, idempotency key); the keys that have none are left out.

        Raises:
            OutcomeUnknown: MongoDB did not answer in time.
        """
        rows = await self._find_committed(
            [{"resource": resource, "idempotencyKey": key} for resource, key in keys], timeout
        )
        return {(row["resource"], row["idempotencyKey"]): Booking.from_document(row) for row in rows}

    async def find_booked(self, slots: Iterable[SlotKey], *, timeout: float) -> set[SlotKey]:
        """Those of the given (resource, instant) pairs that an active booking covers.

        Raises:
            OutcomeUnknown: MongoDB did not answer in time.
        """
        rows = await self._find_committed(
            [
                {"resource": resource, "status": STATUS_BOOKED, "occupies": instant}
                for resource, instant in slots
            ],
            timeout,
        )
        return {(row["resource"], instant) for row in rows for instant in row["occupies"]}

    async def _find_committed(self, alternatives: list[dict[str, Any]], timeout: float) -> list[Document]:
        if not alternatives:
            return []
        query = {"$or": alternatives}
        try:
            with _within(timeout):
                async with await self._client.start_session(causal_consistency=True) as session:
                    if not await self._latest.find_one(query, session=session):
                        return []
                    return await self._committed.find(query, session=session).to_list(None)
        except PyMongoError:
            raise OutcomeUnknown() from None


def _within(seconds: float) -> AbstractContextManager[None]:
    """Bound what is inside; nothing is left to a caller whose deadline has just passed."""
    return pymongo.timeout(max(seconds, SHORTEST_SECONDS))


def _read_bulk_errors(details: Mapping[str, Any], count: int) -> list[Inserted]:
    """A failed write concern makes every item unknown, the duplicates too: their winner may roll back."""
    if details["writeConcernErrors"]:
        return [Inserted.UNKNOWN] * count
    outcomes = [Inserted.BOOKED] * count
    for error in details["writeErrors"]:
        duplicate = error["code"] == DUPLICATE_KEY
        outcomes[error["index"]] = Inserted.DUPLICATE if duplicate else Inserted.UNKNOWN
    return outcomes
