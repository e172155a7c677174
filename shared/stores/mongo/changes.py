"""Changes of rows that are there: each is one write, and compares the row with what was read of it before.

So no change is lost or made twice, however late MongoDB carries it out: a row that was changed since does not
match any more.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from pymongo import UpdateOne

from shared.domain.booking import Booking
from shared.stores.mongo.bookings import COLLECTION, STATUS_BOOKED, STATUS_REFUSED, InSite, Refusal
from shared.stores.mongo.connection import Database, Document
from shared.stores.mongo.writes import Written, write

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
class Change:
    """A booking as it was read, and as it is to be."""

    before: Booking
    after: Booking


class ChangeStore:
    """Writes to rows of `appointments`, each call in one round trip. None raises for MongoDB."""

    def __init__(self, database: Database) -> None:
        self._latest = database.get_collection(COLLECTION)

    async def change_many(self, changes: Sequence[Change], *, timeout: float) -> list[Written]:
        """Change bookings; one outcome each, in their order."""
        return await write(self._latest, "change", [_update(change) for change in changes], timeout=timeout)

    async def fence_many(self, bookings: Sequence[Booking], *, timeout: float) -> list[Written]:
        """Keep out all changes of these bookings that are yet to be carried out."""
        fences = [UpdateOne(_as_read(booking), {"$inc": {"fence": 1}}) for booking in bookings]
        return await write(self._latest, "fence", fences, timeout=timeout)

    async def refuse_many(self, keys: Mapping[InSite, datetime], *, timeout: float) -> list[Written]:
        """Take keys with refused rows, or anew where they have one: what was sent with them comes too late.

        With when the commands came that are refused.

        A duplicate: a booking has the key, or another has just taken it.
        """
        takes = [
            UpdateOne(
                {"site": site, "idempotencyKey": key, "status": STATUS_REFUSED},
                {
                    "$inc": {"version": 1},
                    "$max": {"refusedAt": came},
                    "$setOnInsert": {"_id": str(uuid4()), "claims": []},
                },
                upsert=True,
            )
            for (site, key), came in keys.items()
        ]
        return await write(self._latest, "refuse", takes, timeout=timeout)

    async def replace_many(
        self, replacements: Sequence[tuple[Refusal, Booking]], *, timeout: float
    ) -> list[Written]:
        """Make refused rows the bookings that their keys' commands ask for now. The rows keep their ids.

        Each is written by itself, which is rare: unsure is one whose row is not as it was.
        """
        each = (write(self._latest, "replace", [_replacement(*one)], timeout=timeout) for one in replacements)
        return [written for (written,) in await asyncio.gather(*each)]


def _as_read(booking: Booking) -> Document:
    """Matches the row of a booking that stands as it was read. Where it has no fence, null matches."""
    return {
        "_id": booking.id,
        "site": booking.site,
        "status": STATUS_BOOKED,
        "version": booking.version,
        "fence": booking.fence,
    }


def _update(change: Change) -> UpdateOne:
    row = change.after.to_document()
    sets = {field: row[field] for field in _FIELDS}
    if len(change.after.history) > len(change.before.history):
        return UpdateOne(_as_read(change.before), {"$set": sets, "$push": {"history": row["history"][-1]}})
    return UpdateOne(_as_read(change.before), {"$set": {**sets, "history": row["history"]}})


def _replacement(refusal: Refusal, booking: Booking) -> UpdateOne:
    row = booking.to_document()
    del row["_id"]
    as_read = {
        "_id": refusal.id,
        "site": booking.site,
        "status": STATUS_REFUSED,
        "version": refusal.version,
    }
    return UpdateOne(as_read, {"$set": row, "$unset": {"refusedAt": ""}})
