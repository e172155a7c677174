"""Which relay leads, and how far it has come: one document in `meta`, changed by compare-and-set.

A lease lasts by the server's clock (`$$NOW`). Each relay that takes it counts the epoch up. The epoch is a
fencing token: a relay that was deposed while it was paused cannot move the resume token back.
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
    """How far events are published: all changes up to `token`, of which the last was made at `at`."""

    token: Token | None = None
    at: datetime | None = None


@dataclass(frozen=True)
class Leadership:
    """The lease of this process in an epoch, and the progress that it starts from."""

    epoch: int
    progress: Progress


@dataclass
class RelayLease:
    """The lease as one process sees it."""

    database: Database
    owner: str = field(default_factory=lambda: str(uuid4()))

    async def acquire(self) -> Leadership | None:
        """Take the lease if it is free, and begin a new epoch; None while another relay has it.

        Raises:
            Unanswered
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
        """Keep the lease, and store the progress; False if another relay has begun an epoch since.

        Raises:
            Unanswered
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
            Unanswered
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
