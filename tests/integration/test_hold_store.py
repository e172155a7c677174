"""Holds in Redis: when they are granted, how long they last, and when they are withdrawn."""

import asyncio
from dataclasses import replace
from uuid import uuid4

from shared.stores.redis.holds import PLACED_MARGIN_MS
from shared.stores.redis.intents import HoldState
from shared.stores.redis.keys import Holder, keys_of
from tests.integration.hold_stores import Stores, grant, part, rival_of, wanted


async def test_late_attempt_does_not_withdraw_its_retrys_hold(stores: Stores) -> None:
    """A hold attempt that fails late withdraws only a hold that was not granted."""
    claim = wanted()
    attempt, retry = [await stores.place(claim, seconds=60) for _ in range(2)]
    assert attempt is not None
    assert retry is not None
    assert await stores.grant(claim, retry)
    await stores.withdraw(claim, attempt)
    assert await stores.intents.register_intents([rival_of(claim)], seconds=1) == [HoldState.OTHERS]
    assert await stores.grant(claim, attempt)


async def test_withdrawn_hold_is_not_granted(stores: Stores) -> None:
    """A hold that was withdrawn is not granted, even after its retry placed the hold again.

    A late withdrawal by the first attempt does not affect the retry's placing.
    """
    claim = wanted()
    placed = await stores.place(claim, seconds=60)
    assert placed is not None
    await stores.withdraw(claim, placed)
    assert not await stores.grant(claim, placed)
    assert await stores.intents.register_intents([rival_of(claim)], seconds=1) == [HoldState.FREE]
    await asyncio.sleep(0.002)  # Redis distinguishes placings by its clock, in ms
    again = await stores.place(claim, seconds=60)
    assert again is not None
    assert not await stores.grant(claim, placed)
    await stores.withdraw(claim, placed)
    assert await stores.grant(claim, again)


async def test_hold_is_granted_whole_or_not_at_all(stores: Stores) -> None:
    """If Redis lost one claim of a placed hold, no claim is granted, and a withdrawal removes the others."""
    redis = stores.redis
    claim = wanted(minutes=30)
    placed = await stores.place(claim, seconds=60)
    assert placed is not None
    await redis.delete(keys_of(claim.claims)[1])
    assert not await stores.grant(claim, placed)
    await stores.withdraw(claim, placed)
    assert not await redis.exists(*keys_of(claim.claims))


async def test_hold_that_is_not_granted_expires_with_its_command(stores: Stores) -> None:
    """A hold that a dead worker placed but did not grant blocks its slot no longer than a command takes."""
    claim = wanted(minutes=30)
    for _ in range(2):  # a retry extends it only to its own deadline
        assert await stores.place(claim, seconds=1.5)
        assert all(1500 < end <= 1500 + PLACED_MARGIN_MS for end in await stores.ends(claim.claims))


async def test_granted_hold_gets_its_full_time(stores: Stores) -> None:
    """A granted hold lasts as long as its answer promises, counted from the grant."""
    claim = wanted()
    placed = await stores.place(claim, seconds=1)
    assert placed is not None
    granted = await stores.grant(claim, placed)
    assert granted is not None
    assert granted.milliseconds == 60_000
    assert all(50_000 < end <= 60_000 for end in await stores.ends(claim.claims))


async def test_extension_never_shortens_a_granted_claim(stores: Stores) -> None:
    """An extension to more claims leaves every granted claim at least its granted time."""
    claim, shorter = wanted(minutes=30), Stores.on(stores.redis, hold_ms=5_000)
    await grant(stores, part(claim, 0, 1))
    placed = await shorter.place(claim, seconds=1)
    assert placed is not None
    assert (await stores.ends(claim.claims))[0] > 50_000
    granted = await shorter.grant(claim, placed)
    assert granted is not None
    assert granted.milliseconds == 5_000
    ends = await stores.ends(claim.claims)
    assert ends[0] > 50_000
    assert ends[1] <= 5_000


async def test_hold_ends_with_its_first_claim(stores: Stores) -> None:
    """The expiry of a hold extended to more claims is that of its oldest claim, which is capped."""
    claim = wanted(minutes=30)
    first = await grant(stores, part(claim, 0, 1))
    await asyncio.sleep(0.05)
    both = await grant(stores, claim)
    assert both.expires_at == first.expires_at
    assert both.milliseconds < 60_000


async def test_hold_claims_all_or_nothing(stores: Stores) -> None:
    """If another patient holds one claim, the hold gets no claim at all: a doctor and a room, or neither."""
    ours = wanted(minutes=45)
    theirs = replace(part(ours, 2, 3), holder=Holder(str(uuid4()), "grace"))
    await grant(stores, theirs)
    assert await stores.place(ours, seconds=60) is None
    assert len(await stores.ends(ours.claims)) == 1
