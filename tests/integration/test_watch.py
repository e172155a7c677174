"""The indexes, watched: what counts as theirs, and when a worker may serve."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from pymongo.errors import ServerSelectionTimeoutError

from shared.contract.errors import NotExecuted
from shared.process.settings import Misconfigured
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo import indexes
from shared.stores.mongo import schema as schema_module
from shared.stores.mongo.bookings import COLLECTION
from shared.stores.mongo.duplicates import log_duplicates
from shared.stores.mongo.indexes import find_absent
from shared.stores.mongo.meta import SECRET_BYTES
from shared.stores.mongo.schema import Schema
from tests.integration.breakable import until
from tests.servers import Servers

KEYS = [("site", 1), ("claims", 1)]
BOOKED: dict[str, Any] = {"partialFilterExpression": {"status": "booked"}}


@pytest.fixture
async def database(servers: Servers) -> AsyncIterator[mongodb.Database]:
    with servers.new_stack() as stack:
        database = mongodb.connect(stack.env["MONGO_URI"])
        yield database
        database.client.close()


@pytest.fixture
async def schema(database: mongodb.Database) -> Schema:
    """Of a worker that serves."""
    schema = Schema(database, slot_minutes=0)
    await schema.wait_until_verified()
    return schema


@pytest.mark.parametrize(
    "options",
    [
        BOOKED,
        {"unique": True},
        {"unique": True, "partialFilterExpression": {"status": "cancelled"}},
        {"unique": True, **BOOKED, "collation": {"locale": "en"}},
    ],
    ids=["not unique", "no filter", "another filter", "a collation"],
)
async def test_an_index_with_other_options_is_nothing_to_serve_on(
    database: mongodb.Database, options: dict[str, Any]
) -> None:
    """An index of the right name and keys that differs in any other option is refused."""
    await database[COLLECTION].create_index(KEYS, name="one_booking_per_claim", **options)
    with pytest.raises(Misconfigured):
        await Schema(database, slot_minutes=0).wait_until_verified()


@pytest.mark.parametrize("name", ["one_booking_per_claim", "one_booking_per_key"])
async def test_each_unique_index_stops_a_worker_while_it_is_gone(
    database: mongodb.Database, schema: Schema, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Either unique index that is gone stops a serving worker until it has been made again."""
    verified: list[bool] = []
    create = indexes.create

    async def note(database: mongodb.Database, name: str) -> None:
        verified.append(schema.verified)
        await create(database, name)

    monkeypatch.setattr(indexes, "create", note)
    await database[COLLECTION].drop_index(name)
    await schema._check()
    assert verified == [False]
    assert schema.verified
    assert await find_absent(database) == []


async def test_an_index_that_decides_nothing_stops_nobody(database: mongodb.Database, schema: Schema) -> None:
    """While a worker serves, only the unique indexes matter; another is made again at a next start."""
    await database[COLLECTION].drop_index("by_resource_and_slot")
    await schema._check()
    assert schema.verified
    assert await find_absent(database) == ["by_resource_and_slot"]
    await Schema(database, slot_minutes=0).wait_until_verified()
    assert await find_absent(database) == []


async def test_a_weaker_index_in_its_place_stops_a_serving_worker(
    database: mongodb.Database, schema: Schema
) -> None:
    """A unique index that is replaced by one that is not, while a worker serves, stops it."""
    await database[COLLECTION].drop_index("one_booking_per_claim")
    await database[COLLECTION].create_index(KEYS, name="one_booking_per_claim")
    watching = asyncio.create_task(schema.watch())
    await until(lambda: schema.problem is not None, "the watch notices")
    watching.cancel()
    assert "other options" in str(schema.problem)
    with pytest.raises(NotExecuted):
        schema.require()


async def test_the_watch_outlives_what_nobody_foresaw(
    schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of any kind stops a worker from serving, not the watch: it serves again once it is over."""

    async def fail(*_: object) -> list[str]:
        raise RuntimeError

    watching = asyncio.create_task(schema.watch())
    with monkeypatch.context() as patch:
        patch.setattr(indexes, "find_absent", fail)
        await until(lambda: schema.problem == "cannot be verified", "the watch notices")
        with pytest.raises(NotExecuted):
            schema.require()
    await until(lambda: schema.problem is None, "the watch goes on")
    schema.require()
    watching.cancel()


async def test_the_build_of_an_index_takes_its_time(
    database: mongodb.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking for the indexes is bounded; building one is not, for of a large collection it takes longer."""
    create = indexes.create

    async def create_late(database: mongodb.Database, name: str) -> None:
        await asyncio.sleep(schema_module.CHECK_SECONDS)
        await create(database, name)

    monkeypatch.setattr(schema_module, "CHECK_SECONDS", 1.0)
    monkeypatch.setattr(indexes, "create", create_late)
    schema = Schema(database, slot_minutes=0)
    async with asyncio.timeout(30):
        await schema.wait_until_verified()
    assert await find_absent(database) == []


async def test_a_mongodb_that_never_answered_is_not_verified() -> None:
    """A check that could not look lets nobody serve who did not serve before."""
    database = mongodb.connect("mongodb://127.0.0.1:1/booking")
    schema = Schema(database, slot_minutes=0)
    await schema._check()
    with pytest.raises(NotExecuted):
        schema.require()
    database.client.close()


async def test_a_key_that_was_used_twice_is_not_logged(database: mongodb.Database) -> None:
    """Of a key that two bookings share, the log names the bookings, and not the key: it may hold anything."""
    rows = database[COLLECTION]
    await rows.insert_many(
        {"_id": id, "site": "s1", "idempotencyKey": key, "claims": [id], "status": "booked"}
        for id, key in (("a", "order 4711"), ("b", "order 4711"), ("c", "order 4712"))
    )
    with structlog.testing.capture_logs() as logs:
        await log_duplicates(database, {"site": 1, "idempotencyKey": 1})
    assert [(line["event"], line["site"], set(line["appointments"])) for line in logs] == [
        ("key_used_twice", "s1", {"a", "b"})
    ]
    assert "4711" not in repr(logs)


async def test_an_index_with_its_keys_in_another_order_is_refused(database: mongodb.Database) -> None:
    """The order of an index's keys is part of it: another order serves other queries."""
    await database[COLLECTION].create_index(KEYS[::-1], name="one_booking_per_claim", unique=True, **BOOKED)
    with pytest.raises(Misconfigured):
        await Schema(database, slot_minutes=0).wait_until_verified()


async def test_a_look_counts_for_some_seconds(schema: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    """While looks fail, the last that succeeded counts for some seconds, and then nothing is confirmed."""

    async def fail(*_: object) -> list[str]:
        raise ServerSelectionTimeoutError

    watching = asyncio.create_task(schema.watch())
    with monkeypatch.context() as patch:
        patch.setattr(indexes, "find_absent", fail)
        await until(lambda: schema.problem == "MongoDB does not answer", "the watch notices")
        schema.require()
        await until(lambda: not schema.verified, "the last look counts no longer")
        with pytest.raises(NotExecuted):
            schema.require()
    await until(lambda: schema.problem is None, "it serves again")
    watching.cancel()


async def test_a_look_counts_from_its_beginning(schema: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a slow look found may have changed since it began: it counts from then, however it ends."""
    find = indexes.find_absent

    async def find_slowly(*args: Any) -> list[str]:
        found = await find(*args)
        await asyncio.sleep(0.1)
        return found

    monkeypatch.setattr(indexes, "find_absent", find_slowly)
    monkeypatch.setattr(schema_module, "VALID_SECONDS", 0.05)
    await schema._check()
    assert not schema.verified
    assert "not verified for" in str(schema.problem)


async def test_another_option_of_an_index_that_decides_nothing_stops_nobody(
    database: mongodb.Database, schema: Schema
) -> None:
    """While a worker serves, an index for reading may be replaced by another."""
    await database[COLLECTION].drop_index("by_resource_and_slot")
    await database[COLLECTION].create_index([("slot", 1)], name="by_resource_and_slot")
    await schema._check()
    assert schema.verified


async def test_data_of_before_there_were_versions_stops_a_worker(database: mongodb.Database) -> None:
    """A worker does not serve on what a release has made that kept another document of settings."""
    await database.get_collection("meta").insert_one({"_id": "grid", "slotMinutes": 0})
    with pytest.raises(Misconfigured, match="version 0"):
        await Schema(database, slot_minutes=0).wait_until_verified()


async def test_all_workers_of_a_database_share_one_secret(database: mongodb.Database) -> None:
    """The secret of the digests is made once, however many workers start at the same moment."""
    workers = [Schema(database, slot_minutes=0) for _ in range(20)]
    await asyncio.gather(*(worker.wait_until_verified() for worker in workers))
    assert len({worker.secret for worker in workers}) == 1
    assert len(workers[0].secret) == SECRET_BYTES
    assert await database.get_collection("meta").count_documents({}) == 1


async def test_another_secret_stops_a_serving_worker(database: mongodb.Database, schema: Schema) -> None:
    """Digests under two secrets would not know each other: a worker that has another one does not serve."""
    await database.get_collection("meta").update_one({}, {"$set": {"secret": b"another"}})
    with pytest.raises(Misconfigured, match="secret"):
        await schema._check()


async def test_data_of_another_version_stops_a_worker(database: mongodb.Database) -> None:
    """A worker does not serve on data that another release has made in another shape, and says what to do."""
    await Schema(database, slot_minutes=0).wait_until_verified()
    await database.get_collection("meta").update_one({}, {"$inc": {"version": 1}})
    with pytest.raises(Misconfigured, match=r"version 4.*migrate"):
        await Schema(database, slot_minutes=0).wait_until_verified()
