"""The hold store by itself: what is granted, what is taken back, and what it says of a lost Redis."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import TimeoutError as RedisTimeoutError

from deploy.local import servers as local
from shared.commands import PlaceHold
from shared.errors import OutcomeUnknown
from shared.grid import Grid
from shared.stores import holds as hold_store
from shared.stores.claims import HoldClaim, HoldState, Passage
from shared.stores.holds import INTENT_MARGIN_MS, HoldStore, HoldsUnreachable
from shared.stores.redisdb import connect_redis
from tests.servers import Servers
from tests.slots import fresh


@pytest.fixture
async def holds(servers: Servers) -> AsyncIterator[tuple[HoldStore, Redis]]:
    with servers.new_stack() as stack:
        redis = connect_redis(stack.env["REDIS_URL"])
        yield HoldStore(redis, hold_ms=60_000, max_ms=60_000), redis
        await redis.aclose()


def new_claim() -> HoldClaim:
    request = PlaceHold.model_validate(fresh("Ada", holdToken=str(uuid4())))
    return HoldClaim.of(request, Grid(0).place(request))


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


async def test_a_hold_ends_with_the_first_of_its_instants(servers: Servers) -> None:
    """What is extended to more instants is told to end when the oldest of them does, which is capped."""
    with servers.new_stack() as stack:
        redis = connect_redis(stack.env["REDIS_URL"])
        request = PlaceHold.model_validate(fresh("Ada", holdToken=str(uuid4()), durationMinutes=30))
        claim = HoldClaim.of(request, Grid(15).place(request))
        holds = HoldStore(redis, hold_ms=60_000, max_ms=60_000)
        first = await holds.place(replace(claim, instants=claim.instants[:1]))
        await asyncio.sleep(0.05)
        both = await holds.place(claim)
        assert first is not None
        assert both is not None
        assert both.expires_at == first.expires_at
        assert both.milliseconds < 60_000
        await redis.aclose()


async def test_a_booking_uses_up_no_hold_of_another(holds: tuple[HoldStore, Redis]) -> None:
    """A confirmed booking ends its patient's holds on the slot, and leaves one that another has set since."""
    store, redis = holds
    claim = new_claim()
    assert await store.place(claim)
    rival = Passage(replace(claim, token="", digest="another"), "booking")
    await store.leave_many([(rival, True)])
    assert await redis.exists(claim.keys[0])
    await store.leave_many([(Passage(claim, "booking"), True)])
    assert not await redis.exists(claim.keys[0])


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


async def test_all_that_were_late_in_one_moment_are_asked_again(
    holds: tuple[HoldStore, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A paused worker finds the time of all its questions up at once: none of them passes over a hold."""
    store, redis = holds
    claim, execute, ping = new_claim(), Pipeline.execute, redis.ping
    late = set[asyncio.Task[Any] | None]()

    async def be_late() -> None:
        await asyncio.sleep(0)
        if (task := asyncio.current_task()) not in late:
            late.add(task)
            raise RedisTimeoutError

    async def late_ping() -> bool:
        await be_late()
        return bool(await ping())

    async def late_execute(pipeline: Pipeline, **options: bool) -> list[Any]:
        await be_late()
        return await execute(pipeline, **options)

    assert await store.place(claim)
    monkeypatch.setattr(redis, "ping", late_ping)
    monkeypatch.setattr(Pipeline, "execute", late_execute)
    rivals = [Passage(replace(claim, token="", digest="another"), f"booking {n}") for n in range(4)]
    found = await asyncio.gather(*(store.enter_many([rival], seconds=1) for rival in rivals))
    assert found == [[HoldState.OTHERS]] * 4
    assert all(await asyncio.gather(*(store.place(new_claim()) for _ in range(4))))


async def test_a_redis_that_is_back_is_asked_again_as_before(
    holds: tuple[HoldStore, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Redis is lost it is asked once; after its first answer, one that is late is no loss again."""
    store, redis = holds
    in_time = [False, False, False, True, False, True]

    async def ping() -> None:
        if not in_time.pop(0):
            raise RedisTimeoutError

    monkeypatch.setattr(redis, "ping", ping)
    for _ in range(2):
        with pytest.raises(HoldsUnreachable):
            await store.place(new_claim())
    for _ in range(2):
        assert await store.place(new_claim())
    assert in_time == []


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


@pytest.mark.parametrize("longer", ["hold", "booking"])
async def test_a_hold_hears_of_a_booking_under_way_on_any_of_its_instants(
    holds: tuple[HoldStore, Redis], longer: str
) -> None:
    """Of a hold and a booking one lasts half an hour, and the other is in its second quarter: they meet."""
    store, _ = holds
    request = PlaceHold.model_validate(fresh("Ada", holdToken=str(uuid4()), durationMinutes=30))
    both = HoldClaim.of(request, Grid(15).place(request))
    second = replace(both, instants=both.instants[1:])
    claim, booked = (both, second) if longer == "hold" else (second, both)
    rival = Passage(replace(booked, token="", digest="another"), "booking")
    await store.enter_many([rival], seconds=60)
    placed = await store.place(claim)
    assert placed is not None
    assert placed.under_way == ["booking"]
    assert await store.still_under_way(claim, placed.under_way) == ["booking"]


async def test_a_redis_that_takes_no_writes_says_of_nothing_that_it_is_held(tmp_path: Path) -> None:
    """Where Redis is there and refuses to write, bookings go on as without it, and no hold is granted."""
    with local.Redis(tmp_path) as server:
        redis = connect_redis(server.url)
        store = HoldStore(redis, hold_ms=60_000, max_ms=60_000)
        await redis.config_set("min-replicas-to-write", 1)
        assert await store.enter_many([Passage(new_claim(), "booking")], seconds=1) == [None]
        with pytest.raises(HoldsUnreachable):
            await store.place(new_claim())
        await redis.aclose()
