"""Connect to MongoDB. The driver is imported only here, so that it can be replaced.

PyMongo's own async API differs in sessions, aggregations and closing, so these are called only here. Each
call of the driver hops to a thread and back, so the operations of one session share one hop.
"""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import bson
from bson.codec_options import CodecOptions
from bson.timestamp import Timestamp
from motor.motor_asyncio import (
    AsyncIOMotorClient,
    AsyncIOMotorClientSession,
    AsyncIOMotorCollection,
    AsyncIOMotorDatabase,
)
from pymongo import WriteConcern
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from shared.process.settings import Misconfigured
from shared.stores.metrics import MONGODB_SECONDS, timed

Document: TypeAlias = dict[str, Any]
Database: TypeAlias = AsyncIOMotorDatabase[Document]
Collection: TypeAlias = AsyncIOMotorCollection[Document]
Session: TypeAlias = AsyncIOMotorClientSession

DEFAULT_DATABASE = "booking"
# Bounds calls outside a `pymongo.timeout`; inside one, the driver waits for a server until the timeout ends.
SERVER_SELECTION_SECONDS = 1.5
# Read barriers have their own threads, so that a hanging barrier delays no other operation, and no other
# operation delays a barrier.
_BARRIERS = ThreadPoolExecutor(16, thread_name_prefix="barrier")
READ_AT_ONCE = 2
"""How many large reads a process makes at once. Bookings have their own threads."""
_CHUNK_ROWS = 50
_READS = ThreadPoolExecutor(READ_AT_ONCE, thread_name_prefix="read")


def connect(uri: str) -> Database:
    """Open a database with majority-acknowledged, journaled writes and reads from the primary.

    It connects in the background. Concerns and preferences in the URI are overruled.

    Raises:
        Misconfigured: the URI cannot be used. The message does not contain the URI, which may hold a
        password.
    """
    try:
        client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
            uri,
            tz_aware=True,
            retryWrites=True,
            serverSelectionTimeoutMS=int(SERVER_SELECTION_SECONDS * 1000),
            connectTimeoutMS=int(SERVER_SELECTION_SECONDS * 1000),
        )
        name = client.get_default_database(DEFAULT_DATABASE).name
    except (PyMongoError, ValueError) as error:
        raise Misconfigured(f"MONGO_URI cannot be used: {type(error).__name__}") from None
    return client.get_database(
        name,
        write_concern=WriteConcern("majority", j=True),
        read_concern=ReadConcern("local"),
        read_preference=ReadPreference.PRIMARY,
    )


def close(database: Database) -> None:
    """Close the connection of a database."""
    database.client.close()


async def update_then_find(
    updated: Collection, query: Document, update: Document, read: Collection, any_of: Sequence[Document]
) -> list[Document]:
    """Upsert a document, then find the documents that match any of the queries `any_of`.

    Both run in one causally consistent session, so the read sees the write, whichever server answers.
    """

    def work() -> list[Document]:
        with updated.database.client.delegate.start_session(causal_consistency=True) as session:
            with timed(MONGODB_SECONDS.labels("barrier")):
                updated.delegate.find_one_and_update(query, update, upsert=True, session=session)
            with timed(MONGODB_SECONDS.labels("find")):
                return list(read.delegate.find({"$or": any_of}, session=session))

    context = contextvars.copy_context()  # carries the timeout of pymongo
    return await asyncio.get_running_loop().run_in_executor(_BARRIERS, context.run, work)


async def read_apart(collection: Collection, stages: Sequence[Document], *, hint: str) -> list[Document]:
    """Run a pipeline over an index `hint`, in threads apart from those of bookings.

    The rows are decoded in chunks, so that other tasks run in between.
    """

    def work() -> bytes:
        return b"".join(collection.delegate.aggregate_raw_batches(list(stages), hint=hint, batchSize=10_000))

    raw = await asyncio.get_running_loop().run_in_executor(_READS, contextvars.copy_context().run, work)
    rows: list[Document] = []
    options: CodecOptions[Document] = CodecOptions(tz_aware=True)
    start = end = count = 0
    while end < len(raw):
        end += int.from_bytes(raw[end : end + 4], "little")
        count += 1
        if count % _CHUNK_ROWS == 0 or end == len(raw):
            rows += bson.decode_all(raw[start:end], options)
            start = end
            await asyncio.sleep(0)
    return rows


async def aggregate(
    collection: Collection, stages: Sequence[Document], *, up_to: Timestamp | None = None
) -> AsyncIterator[Document]:
    """Yield the results of a pipeline, which may use the server's disk.

    The pipeline reads all writes up to the cluster time `up_to`, and waits until the server can.
    """
    async with await collection.database.client.start_session(causal_consistency=True) as session:
        if up_to is not None:
            session.advance_operation_time(up_to)
        async for row in collection.aggregate(list(stages), allowDiskUse=True, session=session):
            yield row


async def start_session(database: Database) -> Session:
    """Start a session for commands that share a cursor."""
    return await database.client.start_session()


async def is_standalone(database: Database) -> bool:
    """Return whether the server is neither a replica set member nor a router of a sharded cluster."""
    hello = await database.client.admin.command("hello")
    return "setName" not in hello and hello.get("msg") != "isdbgrid"


def knows_primary(database: Database) -> bool:
    """Return whether the driver knew of a server that takes writes at its last check."""
    topology: Any = database.client.topology_description
    return bool(topology.has_writable_server())
