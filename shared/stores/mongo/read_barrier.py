"""The read barrier: what reads that decide stand behind.

A majority write, then a majority read that comes after it in one causally consistent session. A primary that
was deposed and does not know it yet can take no such write, so what is read is all that was acknowledged
before the question, and absent is absent. (Read concern linearizable promises the same, and takes 100 ms on a
set of one.)
https://www.mongodb.com/docs/manual/core/causal-consistency-read-write-concerns/
"""

import asyncio
from contextvars import Context
from uuid import uuid4

import pymongo

from shared.stores.metrics import MONGODB_SECONDS, timed
from shared.stores.mongo.connection import Database, Moment, update_and_tell_when

COLLECTION = "barriers"
WRITE_SECONDS = 5.0
# A write that hangs does not hold up those who come after it for longer than this.
PATIENCE_SECONDS = 0.2
FORGOTTEN_SECONDS = 86_400


async def forget_old_barriers(database: Database) -> None:
    """Have MongoDB delete the documents of processes that are gone."""
    await database.get_collection(COLLECTION).create_index("at", expireAfterSeconds=FORGOTTEN_SECONDS)


class ReadBarrier:
    """One write for all who wait for one; a document a process, or all processes would queue for it."""

    def __init__(self, database: Database) -> None:
        self._barriers = database.get_collection(COLLECTION)
        self._id = str(uuid4())
        self._current: asyncio.Task[Moment] | None = None
        self._next: asyncio.Task[Moment] | None = None

    async def passed(self, *, timeout: float) -> Moment:
        """A moment after all that was acknowledged before this call: what is read after it sees all of that.

        Raises:
            PyMongoError, TimeoutError: no majority took the write within `timeout` seconds.
        """
        if self._next is None:  # the one that is under way may have begun before what the caller must see
            self._next = asyncio.create_task(self._write_after(self._current), context=Context())
            self._next.add_done_callback(_take_note)
        async with asyncio.timeout(timeout):
            return await asyncio.shield(self._next)

    async def _write_after(self, current: asyncio.Task[Moment] | None) -> Moment:
        if current is not None:
            await asyncio.wait({current}, timeout=PATIENCE_SECONDS)
        self._current, self._next = self._next, None
        # It has to change something: a write without effect is acknowledged by whoever takes it.
        update = {"$inc": {"writes": 1}, "$currentDate": {"at": True}}
        with pymongo.timeout(WRITE_SECONDS), timed(MONGODB_SECONDS.labels("barrier")):
            return await update_and_tell_when(self._barriers, {"_id": self._id}, update)


def _take_note(barrier: asyncio.Task[Moment]) -> None:
    """Its failure is told to those who wait for it; where nobody does any more, it is nothing to warn of."""
    if not barrier.cancelled():
        barrier.exception()
