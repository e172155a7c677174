"""The booking store by itself: what it says of what failed, and what its reads are bound to."""

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
from shared.stores.mongo.schema import Schema
from shared.stores.mongo.writes import WriteResult
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
        yield BookingStore(database)
        database.client.close()


@pytest.mark.parametrize("timeout", [0.0, -1.0])
async def test_a_deadline_that_has_just_passed_is_no_error_of_its_own(
    store: BookingStore, timeout: float
) -> None:
    """A read with no time left is a read that was not answered in time."""
    await store.find(claims=[CLAIM], timeout=5)
    with pytest.raises(OutcomeUnknown):
        await store.find(claims=[CLAIM], timeout=timeout)
    with pytest.raises(NotExecuted):
        await store.get_many(["nothing"], timeout=timeout)


async def test_an_empty_batch_asks_for_nothing(store: BookingStore) -> None:
    """Where nothing is to be inserted or found, MongoDB is left alone."""
    assert await store.insert_many([], timeout=-1) == []
    assert await store.find(timeout=-1) == Found()


async def test_a_majority_that_knows_nothing_yet_is_asked_again(
    store: BookingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new primary that does not know yet what a majority has says nothing of a booking; it is found."""
    booking = new_booking()
    assert await store.insert_many([booking], timeout=5) == [WriteResult.DONE]

    find = type(store._committed).find

    def find_nothing_at_first(collection: Any, query: Any, session: Any = None) -> Any:
        return find(collection, query if session else {"_id": "nothing"}, session=session)

    monkeypatch.setattr(type(store._committed), "find", find_nothing_at_first)
    assert list(await store.get_many([booking.id], timeout=5)) == [booking.id]


async def test_what_was_sent_to_nobody_is_not_executed() -> None:
    """Where no primary can be found, a booking is certainly not made, and nothing can be read."""
    database = mongodb.connect("mongodb://127.0.0.1:1/booking")
    store = BookingStore(database)
    booking = new_booking()
    assert await store.insert_many([booking], timeout=0.2) == [WriteResult.NO_PRIMARY]
    async with asyncio.timeout(20):  # long before the caller gives up, so that it still hears of it
        with pytest.raises(NoPrimary):
            await store.get_many([booking.id], timeout=60)
        with pytest.raises(NoPrimary):
            await store.find(claims=[CLAIM], timeout=60)
    database.client.close()


async def test_an_insert_that_is_not_answered_is_unknown_in_time(tmp_path: Path) -> None:
    """A worker does not wait for a MongoDB that hangs, for longer than the batch's callers do."""
    booking = new_booking()
    with Mongod(tmp_path) as mongod:
        database = mongodb.connect(mongod.url)
        store = BookingStore(database)
        await store.find(claims=[CLAIM], timeout=5)
        mongod.pause()
        try:
            async with asyncio.timeout(20):
                assert await store.insert_many([booking], timeout=0.3) == [WriteResult.UNKNOWN]
        finally:
            mongod.resume()
        database.client.close()


def kind_of_collection(store: BookingStore) -> Any:
    """What the driver's calls are methods of: under motor, PyMongo's synchronous kind."""
    return type(getattr(store._committed, "delegate", store._committed))


async def test_what_is_read_to_decide_stands_behind_the_barrier(
    store: BookingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that decides is bound to the majority write before it, whichever primary answers it."""
    collection = kind_of_collection(store)
    find, bound = collection.find, []

    def note(committed: Any, *args: Any, session: Any = None, **options: Any) -> Any:
        bound.append(session is not None and session.operation_time is not None)
        return find(committed, *args, session=session, **options)

    monkeypatch.setattr(collection, "find", note)
    await store.find(claims=[CLAIM], timeout=5)
    assert bound == [True]


async def test_every_barrier_is_a_write_of_its_own(store: BookingStore) -> None:
    """Each read that decides changes something first: a deposed primary acknowledges what changes nothing."""
    barriers = []
    for _ in range(3):
        await store.find(claims=[CLAIM], timeout=5)
        barriers.append(await store._barrier._barriers.find_one({}))
    assert all(later != earlier for earlier, later in pairwise(barriers))


async def test_who_waits_for_a_barrier_shares_it(
    store: BookingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads that decide at one moment are one, behind one write, and the next are behind another."""
    collection = kind_of_collection(store)
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


async def test_who_shares_a_read_finds_its_own(store: BookingStore) -> None:
    """Of a read that decides for several, each gets what it has asked for alone."""
    one, other = new_booking(), new_booking()
    assert await store.insert_many([one, other], timeout=5) == [WriteResult.DONE] * 2
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


async def test_a_barrier_that_is_under_way_counts_for_nobody_who_comes_later(store: BookingStore) -> None:
    """Who asks while a barrier is written waits for the next: the write may be older than what is asked."""
    first = asyncio.create_task(store.find(claims=[CLAIM], timeout=5))
    while store._barrier._current is None:  # noqa: ASYNC110  # the moment when it begins has no event
        await asyncio.sleep(0)
    await asyncio.gather(first, *(store.find(claims=[CLAIM], timeout=5) for _ in range(10)))
    row = await store._barrier._barriers.find_one({})
    assert row is not None
    assert row["writes"] == 2


async def test_each_process_has_a_barrier_of_its_own(servers: Servers) -> None:
    """Processes do not queue for one document; what one left behind is deleted after a day."""
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
