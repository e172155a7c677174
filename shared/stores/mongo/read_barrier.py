"""The read barrier: what reads that decide stand behind.

A majority write, then a majority read that comes after it in one causally consistent session. A primary that
was deposed and does not know it yet can take no such write, so what is read is all that was acknowledged
before the question, and absent is absent. (Read concern linearizable promises the same, and takes 100 ms on a
set of one.)
https://www.mongodb.com/docs/manual/core/causal-consistency-read-write-concerns/
"""

import asyncio
import time
from collections.abc import Sequence
from contextvars import Context
from uuid import uuid4

from shared.stores.mongo.connection import Collection, Database, Document, update_then_find
from shared.stores.mongo.writes import within

COLLECTION = "barriers"
# One that hangs does not hold up those who come after it for longer than this.
PATIENCE_SECONDS = 0.2
FORGOTTEN_SECONDS = 86_400


async def forget_old_barriers(database: Database) -> None:
    """Have MongoDB delete the documents of processes that are gone."""
    await database.get_collection(COLLECTION).create_index("at", expireAfterSeconds=FORGOTTEN_SECONDS)


class ReadBarrier:
    """One write, and one read of `collection`, for all who wait for one.

    It writes a document a process, or all processes would queue for it.
    """

    def __init__(self, database: Database, collection: Collection) -> None:
        self._barriers = database.get_collection(COLLECTION)
        self._collection = collection
        self._id = str(uuid4())
        self._current: asyncio.Task[list[Document]] | None = None
        self._next: asyncio.Task[list[Document]] | None = None
        self._wanted: list[Document] = []  # by those who wait for the next
        self._until = 0.0  # of the monotonic clock: the longest that any of them waits

    async def find(self, any_of: Sequence[Document], *, timeout: float) -> list[Document]:
        """The rows that match `any_of` some queries, and others that somebody else has asked for.

        All that was acknowledged before this call is seen.

        Raises:
            PyMongoError, TimeoutError: no majority took the write, or none read, within `timeout` seconds.
        """
        if self._next is None:  # the one that is under way may have begun before what the caller must see
            self._wanted, self._until = [], 0.0
            self._next = asyncio.create_task(self._find_after(self._current, self._wanted), context=Context())
            self._next.add_done_callback(_take_note)
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
        # It has to change something: a write without effect is acknowledged by whoever takes it.
        update = {"$inc": {"writes": 1}, "$currentDate": {"at": True}}
        with within(patience):
            return await update_then_find(self._barriers, {"_id": self._id}, update, self._collection, wanted)


def _take_note(barrier: asyncio.Task[list[Document]]) -> None:
    """Its failure is told to those who wait for it; where nobody does any more, it is nothing to warn of."""
    if not barrier.cancelled():
        barrier.exception()
