"""Intents in Redis: for which bookings a hold is refused, and how many bookings share a pipeline."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.contract.deadline import Deadline
from shared.stores.redis import intents as intents_module
from shared.stores.redis.calls import MOST_WEIGHT
from shared.stores.redis.holds import Placed
from shared.stores.redis.intents import INTENT_MARGIN_MS, BookingIntent, HoldState
from shared.stores.redis.keys import intents_key, keys_of
from tests.integration.hold_stores import Stores, part, rival_of, wanted
from tests.slots import fresh_site


async def test_a_short_intent_does_not_end_a_longer_one(stores: Stores) -> None:
    """If a site has two batches in flight, the longer intent stands until its own end."""
    hour = wanted(minutes=60)
    patient, hasty = rival_of(part(hour, 0, 1)), rival_of(part(hour, 1, 2))
    await stores.intents.register_intents([patient], seconds=60)
    await stores.intents.register_intents([hasty], seconds=0)
    assert await stores.redis.pttl(intents_key(hour.claims.site)) > 60_000
    assert await stores.under_way(hour.claims.site) == sorted(hour.claims.keys[:2])


async def test_an_intent_beside_ended_ones_has_a_ttl(stores: Stores) -> None:
    """If all other batches were cleared or have expired, the keys of a new batch still have a TTL."""
    claim = wanted()
    patient, orphan, late = (rival_of(claim) for _ in range(3))
    for intent in (patient, orphan):
        await stores.intents.register_intents([intent], seconds=60)
    await stores.intents.clear_intents([patient])
    assert orphan.batch
    listed = intents_key(claim.claims.site)
    await stores.redis.zadd(listed, {orphan.batch.id: 1}, xx=True)  # it has expired
    await stores.intents.register_intents([late], seconds=30)
    assert late.batch
    assert await stores.redis.zrange(listed, 0, -1) == [late.batch.id]
    await stores.intents.clear_intents([late])
    await stores.intents.register_intents([rival_of(claim)], seconds=30)
    assert 30_000 < await stores.redis.pttl(listed) <= 65_000


async def test_an_intent_outlives_its_deadline_by_five_seconds(stores: Stores) -> None:
    """An intent outlives its deadline by five seconds: a stalled MongoDB may execute the insert that late."""
    claim = wanted()
    intent = rival_of(claim)
    await stores.intents.register_intents([intent], seconds=1)
    assert intent.batch
    end = await stores.redis.zscore(intents_key(claim.claims.site), intent.batch.id)
    assert end is not None
    assert 5_000 < end - time.time() * 1000 <= 6_000
    assert all(5_000 < left <= 6_000 for left in await ends_of_intents(stores, claim.claims.site))


async def test_a_booking_keeps_the_hold_of_another_patient(stores: Stores) -> None:
    """A confirmed booking removes its patient's holds on the slot, and keeps another patient's later hold."""
    redis = stores.redis
    claim = wanted()
    assert await stores.place(claim, seconds=60)
    await stores.intents.use_up_holds([rival_of(claim)])
    assert await redis.exists(keys_of(claim.claims)[0])
    await stores.intents.use_up_holds([BookingIntent(claim.claims, claim.holder)])
    assert not await redis.exists(keys_of(claim.claims)[0])


async def test_an_undecided_booking_refuses_holds_until_its_intent_expires(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A booking that is never decided refuses holds until its intent expires, and no longer."""
    claim = wanted()
    monkeypatch.setattr(intents_module, "INTENT_MARGIN_MS", 0)
    orphan, other = (BookingIntent(claim.claims, claim.holder) for _ in range(2))
    await stores.intents.register_intents([orphan], seconds=0.05)
    await stores.intents.register_intents([other], seconds=60)
    await stores.intents.clear_intents([other])
    async with asyncio.timeout(10):
        placed = await stores.place(claim, seconds=60)
        while placed and placed.being_booked:
            await asyncio.sleep(0.01)
            placed = await stores.place(claim, seconds=60)
    assert placed


async def test_an_intent_after_its_deadline_has_a_ttl(stores: Stores) -> None:
    """An intent that a paused worker registers after its deadline still has a TTL."""
    claim = wanted()
    await stores.intents.register_intents([rival_of(claim)], seconds=-60)
    assert await stores.under_way(claim.claims.site) == list(claim.claims.keys)
    assert all(0 < end <= INTENT_MARGIN_MS for end in await ends_of_intents(stores, claim.claims.site))


async def test_a_booking_refused_on_a_retry_leaves_no_intent(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If Redis's first answer is lost and the retry is refused as held, the booking leaves no intent."""
    execute: Any = Redis.execute_command
    claim, lost = wanted(), list[list[str]]()

    async def lose_first(client: Redis, *command: Any, **options: Any) -> Any:
        answer = await execute(client, *command, **options)
        if command[0] == "EVALSHA" and not lost:
            lost.append(await stores.under_way(claim.claims.site))
            assert await stores.place(claim, seconds=60)
            raise RedisTimeoutError
        return answer

    monkeypatch.setattr(Redis, "execute_command", lose_first)
    assert await stores.intents.register_intents([rival_of(claim)], seconds=60) == [HoldState.OTHERS]
    assert lost == [list(claim.claims.keys)]
    assert await stores.under_way(claim.claims.site) == []


async def test_a_refused_booking_of_a_batch_has_no_intent(stores: Stores) -> None:
    """A booking that is refused as held adds no claim to the intent of its batch."""
    hour = wanted(minutes=60)
    assert await stores.place(part(hour, 1, 2), seconds=60)
    rivals = [rival_of(part(hour, n, n + 1)) for n in range(3)]
    found = await stores.intents.register_intents(rivals, seconds=60)
    assert found == [HoldState.FREE, HoldState.OTHERS, HoldState.FREE]
    assert await stores.under_way(hour.claims.site) == sorted(hour.claims.keys[:1] + hour.claims.keys[2:3])


async def test_a_booking_of_unknown_outcome_keeps_its_claims_in_the_intent(stores: Stores) -> None:
    """After a batch is decided, the claims of a booking that may still be made stay until the TTL ends."""
    hour = wanted(minutes=60)
    unknown, decided, beside = (rival_of(part(hour, *these)) for these in ((0, 2), (1, 3), (3, 4)))
    await stores.intents.register_intents([unknown, decided, beside], seconds=60)
    await stores.intents.clear_intents([decided, beside])
    assert await stores.under_way(hour.claims.site) == sorted(hour.claims.keys[:2])
    assert all(60_000 < end <= 65_000 for end in await ends_of_intents(stores, hour.claims.site))
    for n, being_booked in enumerate((True, True, False, False)):
        placed = await stores.place(part(hour, n, n + 1), seconds=60)
        assert placed
        assert placed.being_booked is being_booked


async def test_clearing_an_expired_intent_does_not_restore_it(stores: Stores) -> None:
    """If an intent has expired, clearing part of its batch does not register the rest again."""
    hour = wanted(minutes=60)
    unknown, decided = rival_of(part(hour, 0, 1)), rival_of(part(hour, 1, 2))
    await stores.intents.register_intents([unknown, decided], seconds=60)
    await stores.redis.delete(*[key async for key in stores.redis.scan_iter(f"intent*{hour.claims.site}*")])
    await stores.intents.clear_intents([decided])
    assert await stores.keys(hour.claims.site) == []


async def ends_of_intents(stores: Stores, site: str) -> list[int]:
    """Return the TTL in ms of every intent key of a site."""
    keys = [key async for key in stores.redis.scan_iter(f"intent*{{{site}}}*", count=1000)]
    assert keys
    return [await stores.redis.pttl(key) for key in keys]


async def test_a_large_batch_is_split_into_pipelines(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline has only as many keys as Redis answers in time, or one booking; no booking is left out."""
    execute, keys = Pipeline.execute, list[int]()

    async def count(pipeline: Pipeline, **options: bool) -> list[Any]:
        keys.append(sum(int(args[2]) for args, _ in pipeline.command_stack))
        return await execute(pipeline, **options)

    claims = [wanted(minutes=24 * 60) for _ in range(20)]
    held = claims[::3]
    for claim in held:
        await stores.place(claim, seconds=60)
    monkeypatch.setattr(Pipeline, "execute", count)
    intents = [rival_of(claim) for claim in claims]
    found = await stores.intents.register_intents(intents, seconds=60)
    assert found == [HoldState.OTHERS if claim in held else HoldState.FREE for claim in claims]
    assert sum(keys) == 20 * 96
    assert max(keys) <= MOST_WEIGHT
    for claim in claims:
        under_way = await stores.under_way(claim.claims.site)
        assert under_way == ([] if claim in held else sorted(claim.claims.keys))
    await stores.intents.clear_intents(intents)
    assert not any([await stores.under_way(claim.claims.site) for claim in claims])


async def test_a_hold_finds_a_claim_among_76800_in_flight(stores: Stores) -> None:
    """With 128 bookings of 600 claims in flight, a hold learns whether one of them has its claim."""
    free = wanted(minutes=150)
    resources = [f"resource-{n}" for n in range(600)]
    claims = [
        replace(free.claims, keys=tuple(f"{name}/{day}" for name in resources)) for day in range(1, 129)
    ]
    intents = [rival_of(replace(free, claims=booked)) for booked in claims]
    assert await stores.intents.register_intents(intents, seconds=60) == [HoldState.FREE] * 128
    last = replace(free, claims=replace(free.claims, keys=claims[-1].keys[-1:]))
    holds = [part(free, 0, 1), last, part(free, 1, 2), part(free, 0, 10)]
    placed = await stores.holds.place_many(holds, Deadline.after(60))
    assert [isinstance(hold, Placed) and hold.being_booked for hold in placed] == [False, True, False, False]
    await stores.intents.clear_intents(intents[10:])
    placed = await stores.holds.place_many([part(free, 0, 10), last], Deadline.after(60))
    assert [isinstance(hold, Placed) and hold.being_booked for hold in placed] == [False, False]


async def test_large_batches_of_long_bookings_find_every_hold(stores: Stores) -> None:
    """Four full batches of day-long bookings on a five-minute grid are all checked against Redis in time."""
    claim = wanted(minutes=24 * 60, grid=5)
    assert await stores.place(claim, seconds=60)
    batches = [[rival_of(claim) for _ in range(128)] for _ in range(4)]
    free = [[replace(rival, claims=replace(rival.claims, site=fresh_site())) for rival in b] for b in batches]
    found = await asyncio.gather(
        *(
            stores.intents.register_intents([*others, *own], seconds=60)
            for others, own in zip(batches, free, strict=True)
        )
    )
    assert found == [[HoldState.OTHERS] * 128 + [HoldState.FREE] * 128] * 4


@pytest.mark.parametrize("longer", ["hold", "booking"])
async def test_a_hold_finds_a_booking_in_flight_that_overlaps_it(stores: Stores, longer: str) -> None:
    """A hold finds a booking in flight that overlaps it, if either covers only the other's second half."""
    both = wanted(minutes=30)
    second = part(both, 1, 2)
    claim, booked = (both, second) if longer == "hold" else (second, both)
    rival = rival_of(booked)
    await stores.intents.register_intents([rival], seconds=60)
    placed = await stores.place(claim, seconds=60)
    assert placed is not None
    assert placed.being_booked
    await stores.intents.clear_intents([rival])
    again = await stores.place(claim, seconds=60)
    assert again is not None
    assert not again.being_booked
