"""The watch of the indexes: which deviations stop a worker from serving, and for how long."""

import asyncio
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
from shared.stores.mongo.schema import Schema
from tests.integration.breakable import until

KEYS = [("site", 1), ("claims", 1)]
BOOKED: dict[str, Any] = {"partialFilterExpression": {"status": "booked"}}


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
async def test_a_unique_index_with_other_options_is_refused(
    database: mongodb.Database, options: dict[str, Any]
) -> None:
    """An index with the right name and keys but other options keeps a worker from starting."""
    await database[COLLECTION].create_index(KEYS, name="one_booking_per_claim", **options)
    with pytest.raises(Misconfigured):
        await Schema(database, slot_minutes=0).wait_until_verified()


@pytest.mark.parametrize("name", ["one_booking_per_claim", "one_booking_per_key"])
async def test_a_lost_unique_index_stops_a_worker_until_it_is_recreated(
    database: mongodb.Database, schema: Schema, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """If either unique index is lost, a serving worker confirms nothing until it has recreated the index."""
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


async def test_a_lost_index_for_reads_stops_no_worker(database: mongodb.Database, schema: Schema) -> None:
    """A lost index for reads does not stop a serving worker; the next worker that starts recreates it."""
    await database[COLLECTION].drop_index("by_resource_and_slot")
    await schema._check()
    assert schema.verified
    assert await find_absent(database) == ["by_resource_and_slot"]
    await Schema(database, slot_minutes=0).wait_until_verified()
    assert await find_absent(database) == []


async def test_a_unique_index_replaced_by_another_stops_a_serving_worker(
    database: mongodb.Database, schema: Schema
) -> None:
    """If a unique index is replaced by one that is not unique, a serving worker stops serving."""
    await database[COLLECTION].drop_index("one_booking_per_claim")
    await database[COLLECTION].create_index(KEYS, name="one_booking_per_claim")
    watching = asyncio.create_task(schema.watch())
    await until(lambda: schema.problem is not None, "the watch notices")
    watching.cancel()
    assert "other options" in str(schema.problem)
    with pytest.raises(NotExecuted):
        schema.require()


async def test_the_watch_survives_an_unexpected_exception(
    schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected exception in the watch stops a worker from serving only until it is over."""

    async def fail(*_: object) -> list[str]:
        raise RuntimeError

    watching = asyncio.create_task(schema.watch())
    with monkeypatch.context() as patch:
        patch.setattr(indexes, "find_absent", fail)
        await until(lambda: schema.problem == "cannot be verified", "the watch notices")
        with pytest.raises(NotExecuted):
            schema.require()
    await until(lambda: schema.problem is None, "the watch continues")
    schema.require()
    watching.cancel()


async def test_an_index_build_may_take_longer_than_a_check(
    database: mongodb.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check of the indexes has a time limit, but a build has none, for collections may be large."""
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


async def test_without_an_answer_of_mongodb_nothing_is_verified() -> None:
    """A worker that has never reached MongoDB may not serve after a failed check."""
    database = mongodb.connect("mongodb://127.0.0.1:1/booking")
    schema = Schema(database, slot_minutes=0)
    await schema._check()
    with pytest.raises(NotExecuted):
        schema.require()
    database.client.close()


async def test_a_duplicate_key_is_logged_without_its_text(database: mongodb.Database) -> None:
    """If two bookings share a key, the log has their ids but not the key, which may contain personal data."""
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
    """An index with its keys in another order is refused, for it serves other queries."""
    await database[COLLECTION].create_index(KEYS[::-1], name="one_booking_per_claim", unique=True, **BOOKED)
    with pytest.raises(Misconfigured):
        await Schema(database, slot_minutes=0).wait_until_verified()


async def test_a_check_is_valid_for_some_seconds(schema: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    """While checks fail, the last success is valid for some seconds, and then nothing is confirmed."""

    async def fail(*_: object) -> list[str]:
        raise ServerSelectionTimeoutError

    watching = asyncio.create_task(schema.watch())
    with monkeypatch.context() as patch:
        patch.setattr(indexes, "find_absent", fail)
        await until(lambda: schema.problem == "MongoDB does not answer", "the watch notices")
        schema.require()
        await until(lambda: not schema.verified, "the last check is no longer valid")
        with pytest.raises(NotExecuted):
            schema.require()
    await until(lambda: schema.problem is None, "the worker may serve again")
    watching.cancel()


async def test_a_check_is_valid_from_its_beginning(schema: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check is valid from its beginning, for the indexes may have changed during a slow check."""
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


async def test_a_replaced_index_for_reads_stops_no_worker(database: mongodb.Database, schema: Schema) -> None:
    """Replacing an index for reads by another does not stop a serving worker."""
    await database[COLLECTION].drop_index("by_resource_and_slot")
    await database[COLLECTION].create_index([("slot", 1)], name="by_resource_and_slot")
    await schema._check()
    assert schema.verified
