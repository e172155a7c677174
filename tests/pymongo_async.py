"""The MongoDB connection on PyMongo's own asynchronous client, which is to replace motor.

The module has the public names of `shared/stores/mongo/connection.py`. As a pytest plugin it replaces that
module, so that the tests of the stores run on it:
pytest -p tests.pymongo_async tests/integration/test_booking_store.py
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeAlias

import bson
from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_concern import ReadConcern

Document: TypeAlias = dict[str, Any]
Database: TypeAlias = AsyncDatabase[Document]
Collection: TypeAlias = AsyncCollection[Document]
Session: TypeAlias = AsyncClientSession

SERVER_SELECTION_SECONDS = 1.5
READ_AT_ONCE = 2
_closing: set[asyncio.Task[None]] = set()


def connect(uri: str) -> Database:
    client: AsyncMongoClient[Document] = AsyncMongoClient(
        uri,
        tz_aware=True,
        retryWrites=True,
        serverSelectionTimeoutMS=int(SERVER_SELECTION_SECONDS * 1000),
        connectTimeoutMS=int(SERVER_SELECTION_SECONDS * 1000),
    )
    return client.get_database(
        client.get_default_database("booking").name,
        write_concern=WriteConcern("majority", j=True),
        read_concern=ReadConcern("local"),
        read_preference=ReadPreference.PRIMARY,
    )


def close(database: Database) -> None:
    _closing.add(task := asyncio.ensure_future(database.client.close()))
    task.add_done_callback(_closing.discard)


async def update_then_find(
    updated: Collection, query: Document, update: Document, read: Collection, any_of: Sequence[Document]
) -> list[Document]:
    async with updated.database.client.start_session(causal_consistency=True) as session:
        await updated.find_one_and_update(query, update, upsert=True, session=session)
        return await read.find({"$or": any_of}, session=session).to_list(None)


async def read_apart(collection: Collection, stages: Sequence[Document], *, hint: str) -> list[Document]:
    options: CodecOptions[Document] = CodecOptions(tz_aware=True)
    batches: Any = await collection.aggregate_raw_batches(list(stages), hint=hint, batchSize=10_000)
    return [row async for batch in batches for row in bson.decode_all(batch, options)]


async def aggregate(collection: Collection, stages: Sequence[Document]) -> AsyncIterator[Document]:
    async for row in await collection.aggregate(list(stages), allowDiskUse=True):
        yield row


async def start_session(database: Database) -> Session:
    return database.client.start_session()


async def is_standalone(database: Database) -> bool:
    hello = await database.client.admin.command("hello")
    return "setName" not in hello and hello.get("msg") != "isdbgrid"


def knows_primary(database: Database) -> bool:
    return database.client.topology_description.has_writable_server()


def pytest_load_initial_conftests() -> None:
    """Replace the module before anything imports it."""
    sys.modules["shared.stores.mongo.connection"] = sys.modules[__name__]
