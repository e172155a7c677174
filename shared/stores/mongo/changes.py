"""Changes of rows that are there: each is one write, and compares the row with what was read of it before.

So no change is lost or made twice, however late MongoDB carries it out: a row that was changed since does not
match any more.
"""

import asyncio
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from pymongo import UpdateOne

from shared.contract.asked_at import CLOCK_SKEW_MS
from shared.domain.booking import Booking
from shared.stores.mongo.bookings import COLLECTION, STATUS_BOOKED, STATUS_REFUSED, InSite, Tombstone
from shared.stores.mongo.connection import Database, Document
from shared.stores.mongo.writes import WriteResult, write

_FIELDS = (
    "slot",
    "durationMinutes",
    "slotMinutes",
    "resources",
    "claims",
    "status",
    "version",
    "updatedAt",
)
"""Of a booking's row, what a change may set."""


@dataclass(frozen=True)
class CompareAndSet:
    """A booking as it was read, and as it is to be."""

    before: Booking
    after: Booking


class ChangeStore:
    """Writes to rows of `appointments`, each call in one round trip. None raises for MongoDB."""

    def __init__(self, database: Database) -> None:
        self._latest = database.get_collection(COLLECTION)

    async def change_many(self, changes: Sequence[CompareAndSet], *, timeout: float) -> list[WriteResult]:
        """Change bookings; one outcome each, in their order."""
        return await write(self._latest, "change", [_update(change) for change in changes], timeout=timeout)

    async def advance_epochs(self, changes: Sequence[CompareAndSet], *, timeout: float) -> list[WriteResult]:
        """Begin a new epoch of bookings, so that all changes fail that are yet to be carried out.

        After it a booking also knows the move that is refused.
        """
        fences = [UpdateOne(_as_read(change.before), {"$set": _epoch(change)}) for change in changes]
        return await write(self._latest, "fence", fences, timeout=timeout)

    async def reserve_keys(self, keys: Mapping[InSite, int], *, timeout: float) -> list[WriteResult]:
        """Upsert a tombstone for each key, so that a late attempt with that key fails.

        Each with the latest `askedAt` of the commands that are refused.

        A duplicate: a booking has the key, or a tombstone of a command that may have been asked for later.
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
        return await write(self._latest, "refuse", upserts, timeout=timeout)

    async def replace_many(
        self, replacements: Sequence[tuple[Tombstone, Booking]], *, timeout: float
    ) -> list[WriteResult]:
        """Replace tombstones by the bookings that commands with their keys ask for. The rows keep their ids.

        Each is written by itself, which is rare: unsure is one whose row is not as it was.
        """
        each = (write(self._latest, "replace", [_replacement(*one)], timeout=timeout) for one in replacements)
        return [written for (written,) in await asyncio.gather(*each)]


def _as_read(booking: Booking) -> Document:
    """Matches the row of a booking that stands as it was read. A row without an epoch matches null."""
    return {
        "_id": booking.id,
        "site": booking.site,
        "status": STATUS_BOOKED,
        "version": booking.version,
        "epoch": booking.epoch,
    }


def _update(change: CompareAndSet) -> UpdateOne:
    before, after = change.before, change.after
    row = after.to_document()
    sets, pushes = dict[str, Any](), dict[str, Any]()
    if after.version != before.version:
        sets |= {field: row[field] for field in _FIELDS}
        _append("history", before.history, row["history"], sets, pushes)
    if after.moves is not before.moves:
        moves = [move.to_document() for move in after.moves]
        _append("moves", before.moves, moves, sets, pushes)
        sets |= _epoch(change)
    return UpdateOne(_as_read(before), {"$set": sets, "$push": pushes} if pushes else {"$set": sets})


def _append(
    field: str, before: Sized, after: Sequence[Document], sets: dict[str, Any], pushes: dict[str, Any]
) -> None:
    """Push the last of a list that has grown; write the list if something was dropped from it."""
    if len(after) == len(before) + 1:
        pushes[field] = after[-1]
    else:
        sets[field] = after


def _epoch(change: CompareAndSet) -> Document:
    """What the next epoch sets, whether its move is done or refused."""
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
