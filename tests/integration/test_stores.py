"""The stores by themselves: what they say of reads that fail, and what they undo."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from shared.commands import PlaceHold
from shared.errors import NotExecuted, OutcomeUnknown
from shared.grid import Grid
from shared.stores import mongodb
from shared.stores.bookings import BookingStore
from shared.stores.claims import HoldClaim, HoldState, Passage
from shared.stores.holds import HoldStore
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
