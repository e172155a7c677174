"""Elect the leading relay and store its progress: one document in `meta`, changed by compare-and-set.

A lease ends by the server's clock (`$$NOW`). A relay that takes it increments the epoch, which is a fencing
token: a relay that was deposed while it was paused cannot move the resume token back.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

import pymongo
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from shared.stores.mongo.answered import answered
from shared.stores.mongo.change_stream import Token
from shared.stores.mongo.connection import Collection, Database, Document
from shared.stores.mongo.meta import COLLECTION, RELAY_ID

LEASE_SECONDS = 3.0
RENEW_SECONDS = 1.0
CALL_SECONDS = 2.0


@dataclass(frozen=True)
class Progress:
    """The published part of the stream: all changes up to `token`. The last one was made at `at`."""

    token: Token | None = None
    at: datetime | None = None


@dataclass(frozen=True)
class Leadership:
    """The lease of this process in an epoch, and its initial progress."""

    epoch: int
    progress: Progress


@dataclass
class RelayLease:
    """The lease of one relay process; `owner` identifies the process."""

    database: Database
    owner: str = field(default_factory=lambda: str(uuid4()))

    async def acquire(self) -> Leadership | None:
        """Take the lease if it is free, and begin a new epoch; None while another relay has it.

        Raises:
            Unanswered: MongoDB failed.
        """
        free = {"_id": RELAY_ID, "$expr": {"$lte": [{"$ifNull": ["$until", "$$NOW"]}, "$$NOW"]}}
        epoch = {"$add": [{"$ifNull": ["$epoch", 0]}, 1]}
        taken = {"owner": {"$literal": self.owner}, "epoch": epoch, "until": _END}
        with _bounded():
            if not await self._collection.find_one({"_id": RELAY_ID}, {"_id": 1}):
                with suppress(DuplicateKeyError):  # another relay was faster
                    await self._collection.insert_one({"_id": RELAY_ID})
            row = await self._collection.find_one_and_update(
                free, [{"$set": taken}], return_document=ReturnDocument.AFTER
            )
        return None if row is None else Leadership(row["epoch"], Progress(row.get("token"), row.get("at")))

    async def renew(self, leadership: Leadership, progress: Progress) -> bool:
        """Renew the lease and store the progress; False if another relay has begun an epoch since.

        Raises:
            Unanswered: MongoDB failed.
        """
        stored = {"token": {"$literal": progress.token}, "at": {"$literal": progress.at}}
        with _bounded():
            row = await self._collection.find_one_and_update(
                self._mine(leadership), [{"$set": {"until": _END, **stored}}]
            )
        return row is not None

    async def give_up(self, leadership: Leadership) -> None:
        """End the lease at once, so that another relay can lead.

        Raises:
            Unanswered: MongoDB failed.
        """
        with _bounded():
            await self._collection.find_one_and_update(self._mine(leadership), {"$unset": {"until": ""}})

    def _mine(self, leadership: Leadership) -> Document:
        return {"_id": RELAY_ID, "owner": self.owner, "epoch": leadership.epoch}

    @property
    def _collection(self) -> Collection:
        return self.database.get_collection(COLLECTION)


@contextmanager
def _bounded() -> Iterator[None]:
    with answered(), pymongo.timeout(CALL_SECONDS):
        yield


_END: Document = {"$add": ["$$NOW", int(LEASE_SECONDS * 1000)]}
