"""Intents in Redis: which bookings a hold is refused for, and how many are asked for together."""

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


async def test_a_longer_intent_is_not_forgotten_with_a_shorter_one(stores: Stores) -> None:
    """Of two batches that are under way in a site, the one with more time is waited for to its end."""
    hour = wanted(minutes=60)
    patient, hasty = rival_of(part(hour, 0, 1)), rival_of(part(hour, 1, 2))
    await stores.intents.register_intents([patient], seconds=60)
    await stores.intents.register_intents([hasty], seconds=0)
    assert await stores.redis.pttl(intents_key(hour.claims.site)) > 60_000
    assert await stores.under_way(hour.claims.site) == sorted(hour.claims.keys[:2])


async def test_an_intent_beside_forgotten_ones_has_an_end(stores: Stores) -> None:
    """Where all other batches were cleared, or have had their time, the keys of a new one end too."""
    claim = wanted()
    patient, orphan, late = (rival_of(claim) for _ in range(3))
    for intent in (patient, orphan):
        await stores.intents.register_intents([intent], seconds=60)
    await stores.intents.clear_intents([patient])
    assert orphan.batch
    listed = intents_key(claim.claims.site)
    await stores.redis.zadd(listed, {orphan.batch.id: 1}, xx=True)  # its time has come
    await stores.intents.register_intents([late], seconds=30)
    assert late.batch
    assert await stores.redis.zrange(listed, 0, -1) == [late.batch.id]
    await stores.intents.clear_intents([late])
    await stores.intents.register_intents([rival_of(claim)], seconds=30)
    assert 30_000 < await stores.redis.pttl(listed) <= 65_000


async def test_an_intent_stands_for_some_time_beyond_its_deadline(stores: Stores) -> None:
    """An insert that a stalled MongoDB carries out up to five seconds late is waited for."""
    claim = wanted()
    intent = rival_of(claim)
    await stores.intents.register_intents([intent], seconds=1)
    assert intent.batch
    end = await stores.redis.zscore(intents_key(claim.claims.site), intent.batch.id)
    assert end is not None
    assert 5_000 < end - time.time() * 1000 <= 6_000
    assert all(5_000 < left <= 6_000 for left in await ends_of_intents(stores, claim.claims.site))


async def test_a_booking_uses_up_no_hold_of_another(stores: Stores) -> None:
    """A confirmed booking ends its patient's holds on the slot, and leaves one that another has set since."""
    redis = stores.redis
    claim = wanted()
    assert await stores.place(claim, seconds=60)
    await stores.intents.use_up_holds([rival_of(claim)])
    assert await redis.exists(keys_of(claim.claims)[0])
    await stores.intents.use_up_holds([BookingIntent(claim.claims, claim.holder)])
    assert not await redis.exists(keys_of(claim.claims)[0])


async def test_a_booking_whose_time_is_up_is_under_way_no_longer(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A booking that is never decided keeps a hold away until its time is up, and no longer."""
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


async def test_a_booking_that_is_met_late_leaves_nothing(stores: Stores) -> None:
    """Where its time is up before it enters, for its worker was paused, nothing stays in Redis for ever."""
    claim = wanted()
    await stores.intents.register_intents([rival_of(claim)], seconds=-60)
    assert await stores.under_way(claim.claims.site) == list(claim.claims.keys)
    assert all(0 < end <= INTENT_MARGIN_MS for end in await ends_of_intents(stores, claim.claims.site))


async def test_a_booking_that_is_refused_is_not_under_way(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose first answer was lost, and that is refused when it asks again, leaves no intent."""
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


async def test_of_a_batch_only_what_may_pass_has_an_intent(stores: Stores) -> None:
    """Of bookings that are registered together, one that is refused as held leaves no claim under way."""
    hour = wanted(minutes=60)
    assert await stores.place(part(hour, 1, 2), seconds=60)
    rivals = [rival_of(part(hour, n, n + 1)) for n in range(3)]
    found = await stores.intents.register_intents(rivals, seconds=60)
    assert found == [HoldState.FREE, HoldState.OTHERS, HoldState.FREE]
    assert await stores.under_way(hour.claims.site) == sorted(hour.claims.keys[:1] + hour.claims.keys[2:3])


async def test_what_is_unknown_stays_under_way(stores: Stores) -> None:
    """Of a batch that is decided, the claims of a booking that may still be made stay to their end."""
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


async def test_clearing_too_late_brings_nothing_back(stores: Stores) -> None:
    """Where the time of an intent was up, what stays of its batch is not registered again."""
    hour = wanted(minutes=60)
    unknown, decided = rival_of(part(hour, 0, 1)), rival_of(part(hour, 1, 2))
    await stores.intents.register_intents([unknown, decided], seconds=60)
    await stores.redis.delete(*[key async for key in stores.redis.scan_iter(f"intent*{hour.claims.site}*")])
    await stores.intents.clear_intents([decided])
    assert await stores.keys(hour.claims.site) == []


async def ends_of_intents(stores: Stores, site: str) -> list[int]:
    """In how many ms each key of what is under way in a site ends."""
    keys = [key async for key in stores.redis.scan_iter(f"intent*{{{site}}}*", count=1000)]
    assert keys
    return [await stores.redis.pttl(key) for key in keys]


async def test_what_many_ask_together_is_asked_in_parts(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No pipeline carries more than Redis answers in time, but for a single booking; none is left out."""
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


async def test_however_much_is_being_booked_a_hold_learns_of_it(stores: Stores) -> None:
    """Beside 128 bookings of 600 claims that are under way, a hold is told whether a claim is theirs."""
    free = wanted(minutes=150)
    resources = [f"resource-{n}" for n in range(600)]
    claims = [
        replace(free.claims, keys=tuple(f"{name}/{day}" for name in resources)) for day in range(1, 129)
    ]
    intents = [rival_of(replace(free, claims=each)) for each in claims]
    assert await stores.intents.register_intents(intents, seconds=60) == [HoldState.FREE] * 128
    last = replace(free, claims=replace(free.claims, keys=claims[-1].keys[-1:]))
    holds = [part(free, 0, 1), last, part(free, 1, 2), part(free, 0, 10)]
    placed = await stores.holds.place_many(holds, Deadline.after(60))
    assert [isinstance(each, Placed) and each.being_booked for each in placed] == [False, True, False, False]
    await stores.intents.clear_intents(intents[10:])
    placed = await stores.holds.place_many([part(free, 0, 10), last], Deadline.after(60))
    assert [isinstance(each, Placed) and each.being_booked for each in placed] == [False, False]


async def test_many_long_bookings_at_once_pass_over_no_hold(stores: Stores) -> None:
    """Batches as large as they get, of bookings of a day on a fine grid: Redis answers all in time."""
    claim = wanted(minutes=24 * 60, grid=5)
    assert await stores.place(claim, seconds=60)
    batches = [[rival_of(claim) for _ in range(128)] for _ in range(4)]
    free = [[replace(each, claims=replace(each.claims, site=fresh_site())) for each in b] for b in batches]
    found = await asyncio.gather(
        *(
            stores.intents.register_intents([*others, *own], seconds=60)
            for others, own in zip(batches, free, strict=True)
        )
    )
    assert found == [[HoldState.OTHERS] * 128 + [HoldState.FREE] * 128] * 4


@pytest.mark.parametrize("longer", ["hold", "booking"])
async def test_a_hold_hears_of_a_booking_under_way_on_any_of_its_instants(
    stores: Stores, longer: str
) -> None:
    """Of a hold and a booking one lasts half an hour, and the other is in its second quarter: they meet."""
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
