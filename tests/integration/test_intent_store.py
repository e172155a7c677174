"""Intents in Redis: which bookings a hold waits for, and how many are asked for together."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio.client import Pipeline

from shared.stores.redis import intents as intents_module
from shared.stores.redis.calls import MOST_KEYS
from shared.stores.redis.holds import PLACED_MARGIN_MS
from shared.stores.redis.intents import INTENT_MARGIN_MS, BookingIntent, HoldState
from shared.stores.redis.keys import keys_of
from tests.integration.hold_stores import Stores, part, rival_of, wanted
from tests.slots import fresh_site


async def test_a_longer_intent_is_not_forgotten_with_a_shorter_one(stores: Stores) -> None:
    """Of two bookings of a claim that are being made, the one with more time is waited for to its end."""
    claim = wanted()
    patient, hasty = rival_of(claim, "patient"), rival_of(claim, "hasty")
    await stores.intents.register_intents([patient], seconds=60)
    await stores.intents.register_intents([hasty], seconds=0)
    assert all(end > 60_000 for end in await stores.ends(claim.claims))


async def test_an_intent_beside_forgotten_ones_has_an_end(stores: Stores) -> None:
    """Where all others of a claim were cleared, or have had their time, the key of a new one ends too."""
    claim = wanted()
    patient, orphan, late = (rival_of(claim, name) for name in ("patient", "orphan", "late"))
    await stores.intents.register_intents([patient, orphan], seconds=60)
    await stores.intents.clear_intents([(patient, False)])
    await stores.redis.zadd(keys_of(claim.claims)[1], {"orphan": 1}, xx=True)  # its time has come
    await stores.intents.register_intents([late], seconds=30)
    (end,) = await stores.ends(claim.claims)
    assert 30_000 < end <= 65_000


async def test_an_intent_stands_for_some_time_beyond_its_deadline(stores: Stores) -> None:
    """An insert that a stalled MongoDB carries out up to five seconds late is waited for."""
    claim = wanted()
    await stores.intents.register_intents([rival_of(claim)], seconds=1)
    _, intents = keys_of(claim.claims)
    score = await stores.redis.zscore(intents, "booking")
    assert score is not None
    assert 5_000 < score - time.time() * 1000 <= 6_000
    assert all(5_000 < end <= 6_000 for end in await stores.ends(claim.claims))


async def test_a_booking_uses_up_no_hold_of_another(stores: Stores) -> None:
    """A confirmed booking ends its patient's holds on the slot, and leaves one that another has set since."""
    redis = stores.redis
    claim = wanted()
    assert await stores.place(claim, seconds=60)
    rival = rival_of(claim)
    await stores.intents.clear_intents([(rival, True)])
    assert await redis.exists(keys_of(claim.claims)[0])
    await stores.intents.clear_intents([(BookingIntent("booking", claim.claims, claim.holder), True)])
    assert not await redis.exists(keys_of(claim.claims)[0])


async def test_a_booking_whose_time_is_up_is_under_way_no_longer(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A booking that is never decided keeps a hold away until its time is up, and no longer."""
    redis = stores.redis
    claim = wanted()
    monkeypatch.setattr(intents_module, "INTENT_MARGIN_MS", 0)
    for booking, seconds in (("orphan", 0.05), ("other", 60)):
        await stores.intents.register_intents(
            [BookingIntent(booking, claim.claims, claim.holder)], seconds=seconds
        )
    await stores.intents.clear_intents([(replace(rival_of(claim), id="other"), False)])
    async with asyncio.timeout(10):
        placed = await stores.place(claim, seconds=60)
        while placed and placed.being_booked:
            await asyncio.sleep(0.01)
            placed = await stores.place(claim, seconds=60)
    ends = [await redis.pttl(key) for key in keys_of(claim.claims) if await redis.exists(key)]
    assert ends
    assert all(0 < end <= 60_000 + PLACED_MARGIN_MS for end in ends)


async def test_a_booking_that_is_met_late_leaves_nothing(stores: Stores) -> None:
    """Where its time is up before it enters, for its worker was paused, nothing stays in Redis for ever."""
    redis = stores.redis
    claim = wanted()
    await stores.intents.register_intents([BookingIntent("late", claim.claims, claim.holder)], seconds=-60)
    ends = [await redis.pttl(key) for key in keys_of(claim.claims) if await redis.exists(key)]
    assert ends
    assert all(0 < end <= INTENT_MARGIN_MS for end in ends)


async def test_a_booking_that_is_refused_is_not_under_way(stores: Stores) -> None:
    """One whose first answer was lost, and that is refused when it asks again, leaves no intent."""
    claim = wanted()
    assert await stores.intents.register_intents([rival_of(claim)], seconds=60) == [HoldState.FREE]
    assert await stores.place(claim, seconds=60)
    assert await stores.intents.register_intents([rival_of(claim)], seconds=60) == [HoldState.OTHERS]
    _, intents = keys_of(claim.claims)
    assert not await stores.redis.exists(intents)


async def test_what_many_ask_together_is_asked_in_parts(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No pipeline carries more than Redis answers in time, but for a single booking; none is left out."""
    redis = stores.redis
    execute, keys = Pipeline.execute, list[int]()

    async def count(pipeline: Pipeline, **options: bool) -> list[Any]:
        keys.append(sum(int(args[2]) for args, _ in pipeline.command_stack))
        return await execute(pipeline, **options)

    claims = [wanted(minutes=24 * 60) for _ in range(20)]
    held = claims[::3]
    for claim in held:
        await stores.place(claim, seconds=60)
    monkeypatch.setattr(Pipeline, "execute", count)
    intents = [rival_of(claim, str(n)) for n, claim in enumerate(claims)]
    found = await stores.intents.register_intents(intents, seconds=60)
    assert found == [HoldState.OTHERS if claim in held else HoldState.FREE for claim in claims]
    await stores.intents.clear_intents([(intent, False) for intent in intents])
    free = [key for claim in claims if claim not in held for key in keys_of(claim.claims)]
    assert not await redis.exists(*free)
    assert sum(keys) == 2 * 20 * 2 * 96
    assert max(keys) <= MOST_KEYS


async def test_many_long_bookings_at_once_pass_over_no_hold(stores: Stores) -> None:
    """Batches as large as they get, of bookings of a day on a fine grid: Redis answers all in time."""
    claim = wanted(minutes=24 * 60, grid=5)
    assert await stores.place(claim, seconds=60)
    batches = [[rival_of(claim, f"{batch} {n}") for n in range(128)] for batch in range(4)]
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
    await stores.intents.clear_intents([(rival, False)])
    again = await stores.place(claim, seconds=60)
    assert again is not None
    assert not again.being_booked
