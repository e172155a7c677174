"""Read behind a barrier: a majority write, then a majority read in the same causally consistent session.

A deposed primary that does not know it yet cannot complete a majority write. So the read sees everything that
was acknowledged before it was asked for, and an absent row is really absent. (Read concern linearizable
promises the same, and takes 100 ms on a set of one.)
https://www.mongodb.com/docs/manual/core/causal-consistency-read-write-concerns/
"""

import asyncio
import time
from collections.abc import Sequence
from contextvars import Context
from uuid import uuid4

from shared.stores.mongo.bulk import within
from shared.stores.mongo.connection import Collection, Database, Document, update_then_find

COLLECTION = "barriers"
# A hanging barrier delays the next one no longer than this.
PATIENCE_SECONDS = 0.2
FORGOTTEN_SECONDS = 86_400


async def forget_old_barriers(database: Database) -> None:
    """Have MongoDB delete the documents of ended processes."""
    await database.get_collection(COLLECTION).create_index("at", expireAfterSeconds=FORGOTTEN_SECONDS)


class ReadBarrier:
    """One write and one read of `collection` for all callers that wait at the same time.

    Each process writes its own document; processes would queue for a common one.
    """

    def __init__(self, database: Database, collection: Collection) -> None:
        self._barriers = database.get_collection(COLLECTION)
        self._collection = collection
        self._id = str(uuid4())
        self._current: asyncio.Task[list[Document]] | None = None
        self._next: asyncio.Task[list[Document]] | None = None
        self._wanted: list[Document] = []  # queries of the callers of the next barrier
        self._until = 0.0  # monotonic clock: the latest deadline among these callers

    async def find(self, any_of: Sequence[Document], *, timeout: float) -> list[Document]:
        """Find the rows that match any of the queries, and possibly rows that other callers asked for.

        The result includes everything that was acknowledged before this call.

        Raises:
            PyMongoError, TimeoutError: no majority took the write, or the read failed, within `timeout`
            seconds.
        """
        if self._next is None:  # the one in flight may have begun too early for this caller
            self._wanted, self._until = [], 0.0
            self._next = asyncio.create_task(self._find_after(self._current, self._wanted), context=Context())
            self._next.add_done_callback(_retrieve_exception)
        self._wanted += [query for query in any_of if query not in self._wanted]
        self._until = max(self._until, time.monotonic() + timeout)
        async with asyncio.timeout(timeout):
            return await asyncio.shield(self._next)

    async def _find_after(
        self, current: asyncio.Task[list[Document]] | None, wanted: Sequence[Document]
    ) -> list[Document]:
        if current is not None:
            await asyncio.wait({current}, timeout=PATIENCE_SECONDS)
        self._current, self._next = self._next, None
        patience = self._until - time.monotonic()
        # The update must change the document: any server acknowledges a write without effect.
        update = {"$inc": {"writes": 1}, "$currentDate": {"at": True}}
        with within(patience):
            return await update_then_find(self._barriers, {"_id": self._id}, update, self._collection, wanted)


def _retrieve_exception(barrier: asyncio.Task[list[Document]]) -> None:
    """Retrieve the exception, so that asyncio does not warn about it if no caller is waiting any more."""
    if not barrier.cancelled():
        barrier.exception()
