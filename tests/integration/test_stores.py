"""The stores by themselves: what they say of reads that fail, and what they undo."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import TimeoutError as RedisTimeoutError

from deploy.local.servers import Mongod
from shared.booking import Booking
from shared.commands import BookAppointment, PlaceHold
from shared.errors import NoPrimary, NotExecuted, OutcomeUnknown
from shared.grid import Grid
from shared.stores import holds as hold_store
from shared.stores import mongodb
from shared.stores.bookings import BookingStore, Inserted
from shared.stores.claims import HoldClaim, HoldState, Passage
from shared.stores.holds import INTENT_MARGIN_MS, HoldStore
from shared.stores.redisdb import connect_redis
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
    assert await store.book_many([], timeout=-1) == []
    assert await store.find_by_keys([], timeout=-1) == {}


async def test_a_late_attempt_does_not_take_back_what_its_repeat_was_granted(servers: Servers) -> None:
    """An attempt to hold that fails late undoes what it has set, not what its repeat was granted."""
    with servers.new_stack() as stack:
        redis = connect_redis(stack.env["REDIS_URL"])
        holds = HoldStore(redis, hold_ms=60_000, max_ms=60_000)
        request = PlaceHold.model_validate(fresh("Ada", holdToken=str(uuid4())))
        claim = HoldClaim.of(request, Grid(0).place(request))
        attempt, repeat = await holds.place(claim), await holds.place(claim)
        assert attempt is not None
        assert repeat is not None
        await holds.take_back(claim, attempt)
        rival = Passage(replace(claim, token="", digest="another"), "booking")
        assert await holds.enter_many([rival], seconds=1) == [HoldState.OTHERS]
        await holds.take_back(claim, repeat)
        assert await holds.enter_many([rival], seconds=1) == [HoldState.FREE]
        await redis.aclose()


async def test_extending_a_hold_never_shortens_what_was_granted(servers: Servers) -> None:
    """A hold that is extended to more instants ends for each of them no sooner than was granted before."""
    with servers.new_stack() as stack:
        redis = connect_redis(stack.env["REDIS_URL"])
        request = PlaceHold.model_validate(fresh("Ada", holdToken=str(uuid4()), durationMinutes=30))
        claim = HoldClaim.of(request, Grid(15).place(request))
        longer, shorter = (HoldStore(redis, hold_ms=ms, max_ms=ms) for ms in (60_000, 5_000))
        first = await longer.place(replace(claim, instants=claim.instants[:1]))
        both = await shorter.place(claim)
        assert first is not None
        assert both is not None
        assert both.fresh == {claim.instants[1]}
        left = [await redis.pttl(key) for key in claim.keys[:2]]
        assert left[0] > 50_000
        assert left[1] <= both.milliseconds <= 5_000
        await redis.aclose()


@pytest.fixture
async def holds(servers: Servers) -> AsyncIterator[tuple[HoldStore, Redis]]:
    with servers.new_stack() as stack:
        redis = connect_redis(stack.env["REDIS_URL"])
        yield HoldStore(redis, hold_ms=60_000, max_ms=60_000), redis
        await redis.aclose()


def new_claim() -> HoldClaim:
    request = PlaceHold.model_validate(fresh("Ada", holdToken=str(uuid4())))
    return HoldClaim.of(request, Grid(0).place(request))


async def test_a_redis_that_was_late_once_is_asked_again(
    holds: tuple[HoldStore, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One answer that did not come in time makes nobody pass over a hold, and refuses none."""
    store, redis = holds
    claim, ping, execute = new_claim(), redis.ping, Pipeline.execute
    late = {"ping", "execute"}

    def be_late(once: str) -> None:
        if once in late:
            late.remove(once)
            raise RedisTimeoutError

    async def late_ping() -> bool:
        be_late("ping")
        return bool(await ping())

    async def late_execute(pipeline: Pipeline, **options: bool) -> list[Any]:
        be_late("execute")
        return await execute(pipeline, **options)

    monkeypatch.setattr(redis, "ping", late_ping)
    monkeypatch.setattr(Pipeline, "execute", late_execute)
    assert await store.place(claim)
    rival = Passage(replace(claim, token="", digest="another"), "booking")
    assert await store.enter_many([rival], seconds=1) == [HoldState.OTHERS]
    assert not late


async def test_a_hold_whose_answer_was_lost_is_unknown(
    holds: tuple[HoldStore, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Redis was asked to set, and did not answer, may be set."""
    store, redis = holds
    evaluate = redis.eval

    async def lose(*args: Any) -> None:
        await evaluate(*args)
        raise RedisTimeoutError

    monkeypatch.setattr(redis, "eval", lose)
    with pytest.raises(OutcomeUnknown):
        await store.place(new_claim())


async def test_a_booking_whose_time_is_up_is_under_way_no_longer(
    holds: tuple[HoldStore, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that nobody could say to be decided is waited for until its time is up, whatever else goes on."""
    store, redis = holds
    claim = new_claim()
    monkeypatch.setattr(hold_store, "INTENT_MARGIN_MS", 0)
    for booking, seconds in (("orphan", 0.05), ("other", 60)):
        await store.enter_many([Passage(claim, booking)], seconds=seconds)
    under_way = ["orphan", "other"]
    async with asyncio.timeout(10):
        while "orphan" in under_way:
            await asyncio.sleep(0.01)
            under_way = await store.still_under_way(claim, ["orphan", "other"])
    assert under_way == ["other"]
    ends = [await redis.pttl(key) for key in claim.keys if await redis.exists(key)]
    assert ends
    assert all(0 < end <= 60_000 for end in ends)


async def test_a_booking_that_is_met_late_leaves_nothing(holds: tuple[HoldStore, Redis]) -> None:
    """Where its time is up before it enters, for its worker was paused, nothing stays in Redis for ever."""
    store, redis = holds
    claim = new_claim()
    await store.enter_many([Passage(claim, "late")], seconds=-60)
    ends = [await redis.pttl(key) for key in claim.keys if await redis.exists(key)]
    assert ends
    assert all(0 < end <= INTENT_MARGIN_MS for end in ends)


async def test_a_majority_that_knows_nothing_yet_is_asked_again(
    store: BookingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new primary that does not know yet what a majority has says nothing of a booking; it is found."""
    command = BookAppointment.model_validate(fresh())
    booking = Booking.new(command, Grid(0).place(command))
    assert await store.book_many([booking], timeout=5) == [Inserted.BOOKED]

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
    booking = Booking.new(command, Grid(0).place(command))
    assert await store.book_many([booking], timeout=0.2) == [Inserted.NO_PRIMARY]
    async with asyncio.timeout(4):  # long before the caller gives up, so that it still hears of it
        with pytest.raises(NoPrimary):
            await store.get(booking.id, timeout=60)
        with pytest.raises(NoPrimary):
            await store.find_booked([SLOT], timeout=60)
    database.client.close()


async def test_an_insert_that_is_not_answered_is_unknown_in_time(tmp_path: Path) -> None:
    """A worker does not wait for a MongoDB that hangs, for longer than the batch's callers do."""
    command = BookAppointment.model_validate(fresh())
    booking = Booking.new(command, Grid(0).place(command))
    with Mongod(tmp_path) as mongod:
        database = mongodb.connect(mongod.url)
        store = BookingStore(database)
        await store.find_booked([SLOT], timeout=5)
        mongod.pause()
        try:
            async with asyncio.timeout(20):
                assert await store.book_many([booking], timeout=0.3) == [Inserted.UNKNOWN]
        finally:
            mongod.resume()
        database.client.close()
