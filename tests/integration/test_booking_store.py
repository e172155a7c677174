"""The booking store by itself: what it says of what failed, and what its reads are bound to."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deploy.local.servers import Mongod
from shared.contract.commands import BookAppointment
from shared.contract.errors import NoPrimary, NotExecuted, OutcomeUnknown
from shared.domain.booking import Booking
from shared.domain.grid import Grid
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.bookings import BookingStore, Inserted
from tests.servers import Servers
from tests.slots import fresh

SLOT = ("r", datetime(2031, 5, 4, 9, tzinfo=UTC))


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
    await store.find_booked([SLOT], timeout=5)
    with pytest.raises(OutcomeUnknown):
        await store.find_booked([SLOT], timeout=timeout)
    with pytest.raises(NotExecuted):
        await store.get("nothing", timeout=timeout)


async def test_an_empty_batch_asks_for_nothing(store: BookingStore) -> None:
    """Where nothing is to be inserted or found, MongoDB is left alone."""
    assert await store.insert_many([], timeout=-1) == []
    assert await store.find_by_keys([], timeout=-1) == {}


async def test_a_majority_that_knows_nothing_yet_is_asked_again(
    store: BookingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new primary that does not know yet what a majority has says nothing of a booking; it is found."""
    command = BookAppointment.model_validate(fresh())
    booking = Booking.new(command, Grid(0).span_of(command))
    assert await store.insert_many([booking], timeout=5) == [Inserted.BOOKED]

    async def find_nothing(*_: Any) -> None:
        return None

    monkeypatch.setattr(type(store._committed), "find_one", find_nothing)
    found = await store.get(booking.id, timeout=5)
    assert found is not None
    assert found.id == booking.id


async def test_what_was_sent_to_nobody_is_not_executed() -> None:
    """Where no primary can be found, a booking is certainly not made, and nothing can be read."""
    database = mongodb.connect("mongodb://127.0.0.1:1/booking")
    store = BookingStore(database)
    command = BookAppointment.model_validate(fresh())
    booking = Booking.new(command, Grid(0).span_of(command))
    assert await store.insert_many([booking], timeout=0.2) == [Inserted.NO_PRIMARY]
    async with asyncio.timeout(4):  # long before the caller gives up, so that it still hears of it
        with pytest.raises(NoPrimary):
            await store.get(booking.id, timeout=60)
        with pytest.raises(NoPrimary):
            await store.find_booked([SLOT], timeout=60)
    database.client.close()


async def test_an_insert_that_is_not_answered_is_unknown_in_time(tmp_path: Path) -> None:
    """A worker does not wait for a MongoDB that hangs, for longer than the batch's callers do."""
    command = BookAppointment.model_validate(fresh())
    booking = Booking.new(command, Grid(0).span_of(command))
    with Mongod(tmp_path) as mongod:
        database = mongodb.connect(mongod.url)
        store = BookingStore(database)
        await store.find_booked([SLOT], timeout=5)
        mongod.pause()
        try:
            async with asyncio.timeout(20):
                assert await store.insert_many([booking], timeout=0.3) == [Inserted.UNKNOWN]
        finally:
            mongod.resume()
        database.client.close()


async def test_what_is_read_to_decide_comes_after_the_fence(
    store: BookingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that decides is bound to the majority write before it, whichever primary answers it."""
    collection = type(store._committed)
    find, bound = collection.find, []

    def note(committed: Any, *args: Any, session: Any = None, **options: Any) -> Any:
        bound.append(session is not None and session.operation_time is not None)
        return find(committed, *args, session=session, **options)

    monkeypatch.setattr(collection, "find", note)
    await store.find_booked([SLOT], timeout=5)
    assert bound == [True]


async def test_every_fence_is_a_write_of_its_own(store: BookingStore) -> None:
    """Each read that decides changes something first: a deposed primary acknowledges what changes nothing."""
    fences = []
    for _ in range(3):
        await store.find_booked([SLOT], timeout=5)
        fences.append(await store._fences.find_one({}))
    assert all(later != earlier for earlier, later in pairwise(fences))
