"""The settings of a database: the version of its data and its secret."""

import asyncio

import pytest

from shared.process.settings import Misconfigured
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.meta import SECRET_BYTES
from shared.stores.mongo.schema import Schema


async def test_data_without_a_version_stops_a_worker(database: mongodb.Database) -> None:
    """A worker does not serve on data of a release that stored its settings in another document."""
    await database.get_collection("meta").insert_one({"_id": "grid", "slotMinutes": 0})
    with pytest.raises(Misconfigured, match="version 0"):
        await Schema(database, slot_minutes=0).wait_until_verified()


async def test_all_workers_of_a_database_share_one_secret(database: mongodb.Database) -> None:
    """Twenty workers that start at once share one secret for their digests."""
    workers = [Schema(database, slot_minutes=0) for _ in range(20)]
    await asyncio.gather(*(worker.wait_until_verified() for worker in workers))
    assert len({worker.secret for worker in workers}) == 1
    assert len(workers[0].secret) == SECRET_BYTES
    assert await database.get_collection("meta").count_documents({}) == 1


async def test_another_secret_stops_a_serving_worker(database: mongodb.Database, schema: Schema) -> None:
    """If the stored secret changes, a serving worker stops: digests of two secrets would never match."""
    await database.get_collection("meta").update_one({}, {"$set": {"secret": b"another"}})
    with pytest.raises(Misconfigured, match="secret"):
        await schema._check()


async def test_data_of_another_version_stops_a_worker(database: mongodb.Database) -> None:
    """A worker does not serve on data of another version, and its error names the migration."""
    await Schema(database, slot_minutes=0).wait_until_verified()
    await database.get_collection("meta").update_one({}, {"$inc": {"version": 1}})
    with pytest.raises(Misconfigured, match=r"version 4.*migrate"):
        await Schema(database, slot_minutes=0).wait_until_verified()
