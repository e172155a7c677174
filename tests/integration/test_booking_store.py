"""The booking store by itself: how it reports failures, and which reads use the read barrier."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deploy.local.mongod import Mongod
from shared.contract.commands import BookAppointment
from shared.contract.errors import NoPrimary, NotExecuted, OutcomeUnknown
from shared.domain.booking import Booking
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.bookings import BookingStore, Found
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.schema import Schema
from tests.integration.use_cases import writes_to
from tests.servers import Servers
from tests.slots import fresh

CLAIM = ("site", "default/1936083600000")


def new_booking() -> Booking:
    command = BookAppointment.model_validate(fresh())
    return Booking.new(
        command, span := Grid(0).slot_range(command), Claims.of(command, span), Digests(b"secret")
    )


@pytest.fixture
async def store(servers: Servers) -> AsyncIterator[BookingStore]:
    with servers.new_stack() as stack:
        database = mongodb.connect(stack.env["MONGO_URI"])
        await database.client.admin.command("ping")  # the driver knows the primary from now on
        yield BookingStore(database)
        database.client.close()


@pytest.mark.parametrize("timeout", [0.0, -1.0])
async def test_read_with_no_time_left_was_not_answered_in_time(store: BookingStore, timeout: float) -> None:
    """A read with no time left fails exactly as a read that was not answered in time."""
    await store.find(claims=[CLAIM], timeout=5)
    with pytest.raises(OutcomeUnknown):
        await store.find(claims=[CLAIM], timeout=timeout)
    with pytest.raises(NotExecuted):
        await store.get_many(["nothing"], timeout=timeout)


async def test_empty_batch_sends_nothing(store: BookingStore) -> None:
    """An empty insert or read sends nothing to MongoDB."""
    assert await writes_to(store._database).insert_many([], timeout=-1) == []
    assert await store.find(timeout=-1) == Found()


async def test_empty_majority_read_is_retried_behind_the_barrier(
    store: BookingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A booking that a new primary's majority read does not show yet is found behind the read barrier."""
    booking = new_booking()
    assert await writes_to(store._database).insert_many([booking], timeout=5) == [WriteResult.DONE]

    find = type(store._committed).find

    def find_nothing_at_first(collection: Any, query: Any, session: Any = None) -> Any:
        return find(collection, query if session else {"_id": "nothing"}, session=session)

    monkeypatch.setattr(type(store._committed), "find", find_nothing_at_first)
    assert list(await store.get_many([booking.id], timeout=5)) == [booking.id]


async def test_without_a_primary_a_booking_is_not_executed() -> None:
    """Without a primary, a booking is certainly not made, and a read raises NoPrimary."""
    database = mongodb.connect("mongodb://127.0.0.1:1/booking")
    store = BookingStore(database)
    booking = new_booking()
    assert await writes_to(store._database).insert_many([booking], timeout=0.2) == [WriteResult.NO_PRIMARY]
    async with asyncio.timeout(20):  # long before the deadline, so that the caller still gets the answer
        with pytest.raises(NoPrimary):
            await store.get_many([booking.id], timeout=60)
        with pytest.raises(NoPrimary):
            await store.find(claims=[CLAIM], timeout=60)
    database.client.close()


async def test_unanswered_insert_is_unknown_at_its_timeout(tmp_path: Path) -> None:
    """A worker waits for a MongoDB that hangs no longer than the callers of the batch do."""
    booking = new_booking()
    with Mongod(tmp_path) as mongod:
        database = mongodb.connect(mongod.url)
        store = BookingStore(database)
        await store.find(claims=[CLAIM], timeout=5)
        mongod.pause()
        try:
            async with asyncio.timeout(20):
                assert await writes_to(store._database).insert_many([booking], timeout=0.3) == [
                    WriteResult.UNKNOWN
                ]
        finally:
            mongod.resume()
        database.client.close()


def collection_class(store: BookingStore) -> Any:
    """Return the class that has the driver's methods: under motor, PyMongo's synchronous class."""
    return type(getattr(store._committed, "delegate", store._committed))


async def test_read_that_decides_is_behind_the_barrier(
    store: BookingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that decides is causally after the barrier's majority write, whichever primary answers."""
    collection = collection_class(store)
    find, bound = collection.find, []

    def note(committed: Any, *args: Any, session: Any = None, **options: Any) -> Any:
        bound.append(session is not None and session.operation_time is not None)
        return find(committed, *args, session=session, **options)

    monkeypatch.setattr(collection, "find", note)
    await store.find(claims=[CLAIM], timeout=5)
    assert bound == [True]


async def test_every_barrier_changes_its_document(store: BookingStore) -> None:
    """Every read barrier changes its document: a deposed primary acknowledges writes that change nothing."""
    barriers = []
    for _ in range(3):
        await store.find(claims=[CLAIM], timeout=5)
        barriers.append(await store._barrier._barriers.find_one({}))
    assert all(later != earlier for earlier, later in pairwise(barriers))


async def test_simultaneous_reads_share_one_barrier(
    store: BookingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simultaneous reads that decide share one barrier and one read; later reads get a new barrier."""
    collection = collection_class(store)
    find, reads = collection.find, []

    def note(committed: Any, query: Any, **options: Any) -> Any:
        reads.append(query)
        return find(committed, query, **options)

    monkeypatch.setattr(collection, "find", note)
    for at_once in (1, 50):
        await asyncio.gather(*(store.find(claims=[CLAIM], timeout=5) for _ in range(at_once)))
    assert len(reads) == 2
    row = await store._barrier._barriers.find_one({})
    assert row is not None
    assert row["writes"] == 2


async def test_shared_read_gives_every_caller_its_own_rows(store: BookingStore) -> None:
    """Callers that share a read get only the rows that they asked for."""
    one, other = new_booking(), new_booking()
    assert await writes_to(store._database).insert_many([one, other], timeout=5) == [WriteResult.DONE] * 2
    find = store._find_behind_barrier

    async def with_others(any_of: Sequence[dict[str, Any]], timeout: float) -> list[dict[str, Any]]:
        return await find([*any_of, {"_id": {"$in": [one.id, other.id]}}], timeout)

    store._find_behind_barrier = with_others  # type: ignore[method-assign]
    owned = dict.fromkeys(one.claims.in_site, one.id)
    key = other.site, other.key
    assert await store.find(claims=one.claims.in_site, timeout=5) == Found(owners=owned)
    assert await store.find(keys={key}, timeout=5) == Found(by_key={key: other})
    assert await store.find(ids={other.id}, timeout=5) == Found(by_id={other.id: other})
    assert await store.get_many([other.id, "nothing"], timeout=5) == {other.id: other}


async def test_barrier_in_flight_does_not_serve_later_callers(store: BookingStore) -> None:
    """A caller that arrives while a barrier is in flight waits for the next: that write may be too old."""
    first = asyncio.create_task(store.find(claims=[CLAIM], timeout=5))
    while store._barrier._current is None:  # noqa: ASYNC110  # no event marks its start
        await asyncio.sleep(0)
    await asyncio.gather(first, *(store.find(claims=[CLAIM], timeout=5) for _ in range(10)))
    row = await store._barrier._barriers.find_one({})
    assert row is not None
    assert row["writes"] == 2


async def test_every_process_has_its_own_barrier(servers: Servers) -> None:
    """Processes do not contend for one barrier document; a TTL index deletes an abandoned one after a day."""
    with servers.new_stack() as stack:
        database = mongodb.connect(stack.env["MONGO_URI"])
        await Schema(database, slot_minutes=0).wait_until_verified()
        for _ in range(3):
            await BookingStore(database).find(claims=[CLAIM], timeout=5)
        barriers = database.get_collection("barriers")
        assert [row["writes"] async for row in barriers.find()] == [1, 1, 1]
        indexes = (await barriers.index_information()).values()
        assert [index.get("expireAfterSeconds") for index in indexes] == [None, 86_400]
        mongodb.close(database)
