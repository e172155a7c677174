"""Write bookings: insert them, and change existing rows by compare-and-set.

A compare-and-set matches the row only as it was read. No change is lost or carried out twice, however late
MongoDB carries it out, because a row that was changed after the read no longer matches.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from pymongo import InsertOne, UpdateOne

from shared.contract.asked_at import CLOCK_SKEW_MS
from shared.contract.deadline import Deadline
from shared.contract.errors import NoPrimary
from shared.domain.booking import PERSONAL, Booking
from shared.stores.mongo.bookings import (
    COLLECTION,
    STATUS_REFUSED,
    BookingStore,
    InSite,
    Tombstone,
)
from shared.stores.mongo.bulk import WriteResult, bulk_write
from shared.stores.mongo.connection import Database, Document
from shared.stores.mongo.schema import Schema

_FIELDS = (
    "slot",
    "durationMinutes",
    "slotMinutes",
    "resources",
    "claims",
    "status",
    "version",
    "updatedAt",
    "service",
    "bufferBefore",
    "bufferAfter",
    "begin",
)
"""The fields of a booking's row that a change sets. A row without a service lacks the last four."""
_AMENDED = {"patient_name": "patientName", "attendance": "attendance"}
"""The fields that an amendment may set, with their names in a row. A move may end an attendance."""


@dataclass(frozen=True)
class CompareAndSet:
    """A change of one booking: the booking as it was read, and as it is to be."""

    before: Booking
    after: Booking


class BookingWrites:
    """Writes to `appointments`, one round trip a call. No method raises for MongoDB."""

    def __init__(self, database: Database, bookings: BookingStore, schema: Schema) -> None:
        self._latest = database.get_collection(COLLECTION)
        self._bookings = bookings
        self._schema = schema

    async def guarded(
        self, write: Callable[..., Awaitable[list[WriteResult]]], many: Sized, deadline: Deadline
    ) -> list[WriteResult]:
        """Send a batch only if it can be confirmed, and confirm it only if the indexes existed meanwhile.

        `write` is one of the methods below.

        Returns:
            One outcome per write, in the same order.
        """
        if not many:
            return []
        try:
            await self._bookings.find_primary(timeout=deadline.remaining)
        except NoPrimary:
            return [WriteResult.NO_PRIMARY] * len(many)
        if deadline.remaining <= 0 or not self._schema.verified:
            return [WriteResult.NOT_EXECUTED] * len(many)
        results = await write(many, timeout=deadline.remaining)
        if not self._schema.verified:
            results = [WriteResult.UNKNOWN if result is WriteResult.DONE else result for result in results]
        return results

    async def insert_many(self, bookings: Sequence[Booking], *, timeout: float) -> list[WriteResult]:
        """Insert bookings.

        Returns:
            One outcome per booking, in the same order.
        """
        inserts = [InsertOne(booking.to_document()) for booking in bookings]
        return await bulk_write(self._latest, "insert", inserts, timeout=timeout)

    async def change_many(self, changes: Sequence[CompareAndSet], *, timeout: float) -> list[WriteResult]:
        """Change bookings.

        Returns:
            One outcome per change, in the same order.
        """
        updates = [_update(change) for change in changes]
        return await bulk_write(self._latest, "change", updates, timeout=timeout)

    async def advance_epochs(self, changes: Sequence[CompareAndSet], *, timeout: float) -> list[WriteResult]:
        """Advance the epochs of bookings, so that changes based on an earlier read fail.

        The same write records the refused moves. The rest of a booking stays as it is.

        Returns:
            One outcome per change, in the same order.
        """
        updates = [UpdateOne(_as_read(change.before), {"$set": _epoch(change)}) for change in changes]
        return await bulk_write(self._latest, "fence", updates, timeout=timeout)

    async def reserve_keys(self, keys: Mapping[InSite, int], *, timeout: float) -> list[WriteResult]:
        """Upsert a tombstone per key, so that a late attempt with that key fails.

        Args:
            keys: by (site, idempotency key), the latest `askedAt` (Unix ms) of the refused commands.
            timeout: in seconds.

        Returns:
            One outcome per key, in the same order. DUPLICATE: a booking has the key, or a tombstone of a
            command that may have been asked for later.
        """
        upserts = [
            UpdateOne(
                {
                    "site": site,
                    "idempotencyKey": key,
                    "status": STATUS_REFUSED,
                    "askedAt": {"$lt": asked_at - CLOCK_SKEW_MS},
                },
                {
                    "$inc": {"version": 1},
                    "$set": {"askedAt": asked_at},
                    "$currentDate": {"refusedAt": True},
                    "$setOnInsert": {"_id": str(uuid4()), "claims": []},
                },
                upsert=True,
            )
            for (site, key), asked_at in keys.items()
        ]
        return await bulk_write(self._latest, "refuse", upserts, timeout=timeout)

    async def replace_many(
        self, replacements: Sequence[tuple[Tombstone, Booking]], *, timeout: float
    ) -> list[WriteResult]:
        """Replace tombstones by the bookings that commands with their keys ask for. The rows keep their ids.

        A replacement is rare, so each is one write.

        Returns:
            One outcome per replacement, in the same order. UNSURE: the tombstone was changed after it was
            read.
        """
        updates = [_replacement(tombstone, booking) for tombstone, booking in replacements]
        writes = (bulk_write(self._latest, "replace", [update], timeout=timeout) for update in updates)
        return [result for (result,) in await asyncio.gather(*writes)]


def _as_read(booking: Booking) -> Document:
    """Return a filter that matches a booking's row only as it was read.

    An epoch of None also matches a row without one.
    """
    return {
        "_id": booking.id,
        "site": booking.site,
        "status": booking.status,
        "version": booking.version,
        "epoch": booking.epoch,
    }


def erasure(booking: Booking, actor: str) -> UpdateOne:
    """Return the compare-and-set that erases a booking. It leaves the booking's place alone."""
    erased = booking.erased(actor)
    row, sets, pushes = erased.to_document(), dict[str, Any](), dict[str, Any]()
    sets |= {field: row.get(field) for field in ("version", "updatedAt", *PERSONAL.values())}
    _append("history", booking.history, row["history"], sets, pushes)
    return UpdateOne(_as_read(booking), {"$set": sets, "$push": pushes} if pushes else {"$set": sets})


def _update(change: CompareAndSet) -> UpdateOne:
    before, after = change.before, change.after
    row = after.to_document()
    sets, pushes = dict[str, Any](), dict[str, Any]()
    if after.version != before.version:
        sets |= {field: row[field] for field in _FIELDS if field in row}
        for field, name in _AMENDED.items():
            if getattr(after, field) != getattr(before, field):
                sets[name] = getattr(after, field)
        _append("history", before.history, row["history"], sets, pushes)
    if after.moves is not before.moves:
        moves = [move.to_document() for move in after.moves]
        _append("moves", before.moves, moves, sets, pushes)
        sets |= _epoch(change)
    return UpdateOne(_as_read(before), {"$set": sets, "$push": pushes} if pushes else {"$set": sets})


def _append(
    field: str, before: Sized, after: Sequence[Document], sets: dict[str, Any], pushes: dict[str, Any]
) -> None:
    """Push the last item of a list that has grown by one; else set the whole list."""
    if len(after) == len(before) + 1:
        pushes[field] = after[-1]
    else:
        sets[field] = after


def _epoch(change: CompareAndSet) -> Document:
    """Return the fields that a new epoch sets, for a move that is done or refused."""
    after = change.after
    return {
        "epoch": after.epoch,
        "moveAskedAt": after.move_asked_at,
        "refusedMoves": list(after.refused_moves),
    }


def _replacement(tombstone: Tombstone, booking: Booking) -> UpdateOne:
    row = booking.to_document()
    del row["_id"]
    as_read = {
        "_id": tombstone.id,
        "site": booking.site,
        "status": STATUS_REFUSED,
        "version": tombstone.version,
    }
    return UpdateOne(as_read, {"$set": row, "$unset": {"refusedAt": "", "askedAt": ""}})
