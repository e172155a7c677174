"""Read the change stream of `appointments`: the changes of bookings in the order of their writes.

The commands are sent directly, because a `getMore` returns a whole batch in one round trip, and the driver's
iterator hops to a thread per change.
https://www.mongodb.com/docs/manual/changeStreams/
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import structlog
from bson.timestamp import Timestamp
from pymongo.errors import OperationFailure, PyMongoError

from shared.domain.history import Entry
from shared.stores.mongo.answered import answered
from shared.stores.mongo.bookings import COLLECTION
from shared.stores.mongo.connection import Database, Document, Session, start_session

LONGEST_BATCH = 1000
WAIT_MS = 500
"""How long MongoDB waits for a change before it returns an empty batch."""
HISTORY_LOST = {136, 260, 280, 286}
"""CappedPositionLost, InvalidResumeToken, ChangeStreamFatalError, ChangeStreamHistoryLost."""
_INVALIDATED = {"drop", "rename", "dropDatabase", "invalidate"}
_NEEDED = {
    "documentKey": 1,
    "operationType": 1,
    "wallTime": 1,
    "clusterTime": 1,
    "fullDocument.status": 1,
    "fullDocument.history": 1,
    "updateDescription.updatedFields": 1,
}

Token = Document

log = structlog.get_logger()


class HistoryLost(Exception):
    """The changes after a resume token are no longer in the oplog, or the collection was dropped."""


@dataclass(frozen=True)
class BookingChange:
    """One change of a booking, as its history records it."""

    booking_id: str
    entry: Entry


@dataclass(frozen=True)
class ChangeBatch:
    """Some changes in order. `token` resumes the stream after them, and `at` is the time of the last one.

    More changes may be waiting after a full batch.
    """

    changes: Sequence[BookingChange]
    token: Token
    at: datetime | None
    is_full: bool


class ChangeStream:
    """An open change stream. After a failed call, close it and open another one after the last token."""

    def __init__(self, database: Database, session: Session, cursor: Document) -> None:
        self._database = database
        self._session = session
        self._id = cursor["id"]
        self._first: Document | None = cursor
        self._is_invalid = False

    @classmethod
    async def open(cls, database: Database, after: Token | None, start_at: Timestamp) -> Self:
        """Open the stream after a resume token, or at a cluster time if `after` is None.

        Raises:
            HistoryLost: the changes after the token are gone.
            Unanswered: MongoDB failed.
        """
        start = {"startAtOperationTime": start_at} if after is None else {"resumeAfter": after}
        with answered():
            session = await start_session(database)
        try:
            with _answered_or_lost():
                reply = await database.command(
                    "aggregate",
                    COLLECTION,
                    pipeline=[{"$changeStream": start}, {"$project": _NEEDED}],
                    cursor={"batchSize": LONGEST_BATCH},
                    readConcern={"level": "majority"},
                    codec_options=database.codec_options,  # else instants have no zone
                    session=session,
                )
        except BaseException:
            await session.end_session()
            raise
        return cls(database, session, reply["cursor"])

    async def next_batch(self) -> ChangeBatch:
        """Return the next changes; an empty batch if there is no change for `WAIT_MS`.

        Raises:
            HistoryLost: the next changes are gone.
            Unanswered: MongoDB failed.
        """
        cursor, self._first = self._first, None
        if self._is_invalid:
            raise HistoryLost
        if cursor is None:
            with _answered_or_lost():
                reply = await self._database.command(
                    "getMore",
                    self._id,
                    collection=COLLECTION,
                    batchSize=LONGEST_BATCH,
                    maxTimeMS=WAIT_MS,
                    codec_options=self._database.codec_options,
                    session=self._session,
                )
            cursor = reply["cursor"]
        rows = cursor.get("nextBatch", cursor.get("firstBatch", []))
        if any(row["operationType"] in _INVALIDATED for row in rows):
            self._is_invalid = True  # the changes before it are the last ones
        at = rows[-1]["wallTime"] if rows else None
        is_full = len(rows) == LONGEST_BATCH
        return ChangeBatch(list(_changes(rows)), cursor["postBatchResumeToken"], at, is_full)

    async def close(self) -> None:
        """Close the cursor, and end the session."""
        with suppress(PyMongoError):
            await self._database.command("killCursors", COLLECTION, cursors=[self._id], session=self._session)
        await self._session.end_session()


async def operation_time(database: Database) -> Timestamp:
    """Return the cluster time of the primary's last operation.

    Raises:
        Unanswered: MongoDB failed.
    """
    with answered():
        hello = await database.client.admin.command("hello")
    time: Timestamp = hello["operationTime"]
    return time


async def oplog_began(database: Database) -> datetime | None:
    """Return the time of the oldest entry of the oplog; None if there is none, as behind a router.

    Raises:
        Unanswered: MongoDB failed, or its user may not read the oplog.
    """
    oplog = database.client.get_database("local").get_collection("oplog.rs")
    with answered():
        oldest = await oplog.find_one({}, {"ts": 1}, sort=[("$natural", 1)])
    return None if oldest is None else oldest["ts"].as_datetime()


@contextmanager
def _answered_or_lost() -> Iterator[None]:
    with answered():
        try:
            yield
        except OperationFailure as error:
            if error.code in HISTORY_LOST:
                raise HistoryLost from None
            raise


def _changes(rows: Sequence[Document]) -> Iterator[BookingChange]:
    """Yield the changes of bookings: a new epoch or a tombstone adds no entry to a history."""
    for row in rows:
        try:
            entry = _new_entry(row)
            if entry is not None:
                yield BookingChange(row["documentKey"]["_id"], Entry.from_document(entry))
        except (AttributeError, KeyError, TypeError):
            log.warning("foreign_row", effect="its changes are no events")


def _new_entry(row: Document) -> Document | None:
    """Return the history entry that a change added, or None.

    MongoDB reports a plain `$push` as `history.N`, and a replaced or truncated list as the whole `history`.
    """
    if "fullDocument" in row:
        fields = row["fullDocument"]
    else:
        fields = row.get("updateDescription", {}).get("updatedFields", {})
    history: list[Document] = fields.get("history") or [
        value for name, value in fields.items() if name.startswith("history.")
    ]
    return history[-1] if history else None
