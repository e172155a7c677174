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
from shared.contract.commands import PlaceHold
from shared.contract.errors import OutcomeUnknown
from shared.domain.grid import Grid
from shared.stores.redis import holds as hold_store
from shared.stores.redis.claims import BookingIntent, HoldClaim, HoldState
from shared.stores.redis.connection import connect_redis
from shared.stores.redis.holds import INTENT_MARGIN_MS, HoldStore
from shared.stores.redis.scripts import MOST_KEYS, HoldsUnreachable
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
    return HoldClaim.of(request, Grid(0).span_of(request))


def quarters(minutes: int) -> HoldClaim:
    request = PlaceHold.model_validate(fresh("Ada", holdToken=str(uuid4()), durationMinutes=minutes))
    return HoldClaim.of(request, Grid(15).span_of(request))


def rival_of(claim: HoldClaim, booking: str = "booking") -> BookingIntent:
    return BookingIntent(replace(claim, token="", digest="another"), booking)


async def test_a_late_attempt_does_not_take_back_what_its_repeat_was_granted(
    holds: tuple[HoldStore, Redis],
) -> None:
    """An attempt to hold that fails late undoes what nobody was granted, and no more."""
    store, _ = holds
    claim = new_claim()
    attempt, repeat = await store.place(claim), await store.place(claim)
    assert attempt is not None
    assert repeat is not None
    assert await store.grant(claim, repeat)
    assert await store.take_back(claim)
    assert await store.register_intents([rival_of(claim)], seconds=1) == [HoldState.OTHERS]
    assert await store.grant(claim, attempt)


async def test_a_hold_that_was_taken_back_is_not_granted(holds: tuple[HoldStore, Redis]) -> None:
    """A hold that an earlier attempt took back is not granted, nor is another that was set since for it."""
    store, _ = holds
    claim = new_claim()
    placed = await store.place(claim)
    assert placed is not None
    assert not await store.take_back(claim)
    assert not await store.grant(claim, placed)
    assert await store.register_intents([rival_of(claim)], seconds=1) == [HoldState.FREE]
    await asyncio.sleep(0.002)  # Redis tells placements apart by its clock, in milliseconds
    again = await store.place(claim)
    assert again is not None
    assert not await store.grant(claim, placed)
    assert not await store.take_back(claim)


async def test_a_hold_is_granted_as_a_whole_or_not_at_all(holds: tuple[HoldStore, Redis]) -> None:
    """Of a hold that lost an instant, the others are not granted: whoever fails next takes them back."""
    store, redis = holds
    claim = quarters(30)
    placed = await store.place(claim)
    assert placed is not None
    await redis.delete(claim.keys[1])
    assert not await store.grant(claim, placed)
    assert not await store.take_back(claim)
    assert not await redis.exists(*claim.keys)


async def test_granting_a_hold_leaves_its_end(holds: tuple[HoldStore, Redis]) -> None:
    """A hold that is granted ends when it would have ended."""
    store, redis = holds
    claim = new_claim()
    placed = await store.place(claim)
    assert placed is not None
    assert await store.grant(claim, placed)
    assert 50_000 < await redis.pttl(claim.keys[0]) <= 60_000


async def test_extending_a_hold_never_shortens_what_was_granted(servers: Servers) -> None:
    """A hold that is extended to more instants ends for each of them no sooner than was granted before."""
    with servers.new_stack() as stack:
        redis = connect_redis(stack.env["REDIS_URL"])
        claim = quarters(30)
        longer, shorter = (HoldStore(redis, hold_ms=ms, max_ms=ms) for ms in (60_000, 5_000))
        first = await longer.place(replace(claim, instants=claim.instants[:1]))
        both = await shorter.place(claim)
        assert first is not None
        assert both is not None
        assert both.since[0] == first.since[0] <= both.since[1]
        left = [await redis.pttl(key) for key in claim.keys[:2]]
        assert left[0] > 50_000
        assert left[1] <= both.milliseconds <= 5_000
        await redis.aclose()


async def test_a_hold_ends_with_the_first_of_its_instants(servers: Servers) -> None:
    """What is extended to more instants is told to end when the oldest of them does, which is capped."""
    with servers.new_stack() as stack:
        redis = connect_redis(stack.env["REDIS_URL"])
        claim = quarters(30)
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
    rival = rival_of(claim)
    await store.clear_intents([(rival, True)])
    assert await redis.exists(claim.keys[0])
    await store.clear_intents([(BookingIntent(claim, "booking"), True)])
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
    rival = rival_of(claim)
    assert await store.register_intents([rival], seconds=1) == [HoldState.OTHERS]
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
    rivals = [rival_of(claim, f"booking {n}") for n in range(4)]
    found = await asyncio.gather(*(store.register_intents([rival], seconds=1) for rival in rivals))
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
        await store.register_intents([BookingIntent(claim, booking)], seconds=seconds)
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
    await store.register_intents([BookingIntent(claim, "late")], seconds=-60)
    ends = [await redis.pttl(key) for key in claim.keys if await redis.exists(key)]
    assert ends
    assert all(0 < end <= INTENT_MARGIN_MS for end in ends)


async def test_a_booking_that_is_refused_is_not_under_way(holds: tuple[HoldStore, Redis]) -> None:
    """One whose first answer was lost, and that is refused when it asks again, keeps no hold waiting."""
    store, _ = holds
    claim = new_claim()
    assert await store.register_intents([rival_of(claim)], seconds=60) == [HoldState.FREE]
    assert await store.place(claim)
    assert await store.register_intents([rival_of(claim)], seconds=60) == [HoldState.OTHERS]
    assert await store.still_under_way(claim, ["booking"]) == []


async def test_what_many_ask_together_is_asked_in_parts(
    holds: tuple[HoldStore, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No pipeline carries more than Redis answers in time, but for a single booking; none is left out."""
    store, redis = holds
    execute, keys = Pipeline.execute, list[int]()

    async def count(pipeline: Pipeline, **options: bool) -> list[Any]:
        keys.append(sum(int(args[2]) for args, _ in pipeline.command_stack))
        return await execute(pipeline, **options)

    monkeypatch.setattr(Pipeline, "execute", count)
    claims = [quarters(24 * 60) for _ in range(20)]
    held = claims[::3]
    for claim in held:
        await store.place(claim)
    intents = [rival_of(claim, str(n)) for n, claim in enumerate(claims)]
    found = await store.register_intents(intents, seconds=60)
    assert found == [HoldState.OTHERS if claim in held else HoldState.FREE for claim in claims]
    await store.clear_intents([(intent, False) for intent in intents])
    free = [key for claim in claims if claim not in held for key in claim.keys]
    assert not await redis.exists(*free)
    assert sum(keys) == 2 * 20 * 2 * 96
    assert max(keys) <= MOST_KEYS


async def test_of_parts_the_lost_ones_are_not_read(
    holds: tuple[HoldStore, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Redis is lost in the middle, what it had said before counts."""
    store, _ = holds
    execute, answers = Pipeline.execute, iter([True])

    async def answer_once(pipeline: Pipeline, **options: bool) -> list[Any]:
        if next(answers, False):
            return await execute(pipeline, **options)
        raise RedisTimeoutError

    claims = [quarters(24 * 60) for _ in range(10)]
    await store.place(claims[0])
    monkeypatch.setattr(Pipeline, "execute", answer_once)
    found = await store.register_intents([rival_of(claim) for claim in claims], seconds=1)
    assert found == [HoldState.OTHERS, *[HoldState.FREE] * 4, *[None] * 5]


async def test_many_long_bookings_at_once_pass_over_no_hold(holds: tuple[HoldStore, Redis]) -> None:
    """Batches as large as they get, of bookings of a day on a fine grid: Redis answers all in time."""
    store, _ = holds
    request = PlaceHold.model_validate(fresh("Ada", holdToken=str(uuid4()), durationMinutes=24 * 60))
    claim = HoldClaim.of(request, Grid(5).span_of(request))
    assert await store.place(claim)
    batches = [[rival_of(claim, f"{batch} {n}") for n in range(128)] for batch in range(4)]
    free = [[replace(p, claim=replace(p.claim, resource=p.id)) for p in batch] for batch in batches]
    found = await asyncio.gather(
        *(
            store.register_intents([*others, *own], seconds=60)
            for others, own in zip(batches, free, strict=True)
        )
    )
    assert found == [[HoldState.OTHERS] * 128 + [HoldState.FREE] * 128] * 4


async def test_a_cut_connection_is_not_a_lost_redis(servers: Servers) -> None:
    """Connections that were cut while nobody used them fail nothing, and make nobody pass over a hold."""
    with servers.new_stack() as stack:
        redis, cutter = (connect_redis(stack.env["REDIS_URL"]) for _ in range(2))
        store = HoldStore(redis, hold_ms=60_000, max_ms=60_000)
        for _ in range(10):
            await asyncio.gather(*(store.ping() for _ in range(8)))  # it raises where Redis is lost
            await cutter.client_kill_filter(_type="normal", skipme=True)
        await redis.aclose()
        await cutter.aclose()


@pytest.mark.parametrize("longer", ["hold", "booking"])
async def test_a_hold_hears_of_a_booking_under_way_on_any_of_its_instants(
    holds: tuple[HoldStore, Redis], longer: str
) -> None:
    """Of a hold and a booking one lasts half an hour, and the other is in its second quarter: they meet."""
    store, _ = holds
    both = quarters(30)
    second = replace(both, instants=both.instants[1:])
    claim, booked = (both, second) if longer == "hold" else (second, both)
    rival = rival_of(booked)
    await store.register_intents([rival], seconds=60)
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
        assert await store.register_intents([BookingIntent(new_claim(), "booking")], seconds=1) == [None]
        with pytest.raises(HoldsUnreachable):
            await store.place(new_claim())
        await redis.aclose()
