"""Holds in Redis: what is granted, for how long, and what is withdrawn."""

import asyncio
from dataclasses import replace
from uuid import uuid4

from shared.stores.redis.holds import PLACED_MARGIN_MS
from shared.stores.redis.intents import HoldState
from shared.stores.redis.keys import Holder, keys_of
from tests.integration.hold_stores import Stores, grant, part, rival_of, wanted


async def test_a_late_attempt_does_not_withdraw_what_its_repeat_was_granted(stores: Stores) -> None:
    """An attempt to hold that fails late undoes what nobody was granted, and no more."""
    claim = wanted()
    attempt, repeat = [await stores.place(claim, seconds=60) for _ in range(2)]
    assert attempt is not None
    assert repeat is not None
    assert await stores.grant(claim, repeat)
    await stores.withdraw(claim, attempt)
    assert await stores.intents.register_intents([rival_of(claim)], seconds=1) == [HoldState.OTHERS]
    assert await stores.grant(claim, attempt)


async def test_a_hold_that_was_withdrawn_is_not_granted(stores: Stores) -> None:
    """A hold that an earlier attempt withdrew is not granted, nor is one that was placed since for it.

    Nor does that attempt, which ends late, withdraw the other.
    """
    claim = wanted()
    placed = await stores.place(claim, seconds=60)
    assert placed is not None
    await stores.withdraw(claim, placed)
    assert not await stores.grant(claim, placed)
    assert await stores.intents.register_intents([rival_of(claim)], seconds=1) == [HoldState.FREE]
    await asyncio.sleep(0.002)  # Redis tells placements apart by its clock, in milliseconds
    again = await stores.place(claim, seconds=60)
    assert again is not None
    assert not await stores.grant(claim, placed)
    await stores.withdraw(claim, placed)
    assert await stores.grant(claim, again)


async def test_a_hold_is_granted_as_a_whole_or_not_at_all(stores: Stores) -> None:
    """Of a hold that lost an instant, the others are not granted: whoever fails next takes them back."""
    redis = stores.redis
    claim = wanted(minutes=30)
    placed = await stores.place(claim, seconds=60)
    assert placed is not None
    await redis.delete(keys_of(claim.claims)[1])
    assert not await stores.grant(claim, placed)
    await stores.withdraw(claim, placed)
    assert not await redis.exists(*keys_of(claim.claims))


async def test_a_hold_that_is_not_granted_ends_soon_after_its_command(stores: Stores) -> None:
    """What a worker placed and did not live to grant blocks nobody for longer than a command may take."""
    claim = wanted(minutes=30)
    for _ in range(2):  # a repeat prolongs it by no more than its own command
        assert await stores.place(claim, seconds=1.5)
        assert all(1500 < end <= 1500 + PLACED_MARGIN_MS for end in await stores.ends(claim.claims))


async def test_granting_a_hold_gives_it_its_full_time(stores: Stores) -> None:
    """A hold that is granted lasts as long as its answer says, counted from then."""
    claim = wanted()
    placed = await stores.place(claim, seconds=1)
    assert placed is not None
    granted = await stores.grant(claim, placed)
    assert granted is not None
    assert granted.milliseconds == 60_000
    assert all(50_000 < end <= 60_000 for end in await stores.ends(claim.claims))


async def test_extending_a_hold_never_shortens_what_was_granted(stores: Stores) -> None:
    """A hold that is extended to more claims ends for each of them no sooner than was granted before."""
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


async def test_a_hold_ends_with_the_first_of_its_claims(stores: Stores) -> None:
    """What is extended to more claims is told to end when the oldest of them does, which is capped."""
    claim = wanted(minutes=30)
    first = await grant(stores, part(claim, 0, 1))
    await asyncio.sleep(0.05)
    both = await grant(stores, claim)
    assert both.expires_at == first.expires_at
    assert both.milliseconds < 60_000


async def test_a_hold_claims_all_or_nothing(stores: Stores) -> None:
    """Where another holds one of the claims, none of the others is held: a doctor and a room, or neither."""
    ours = wanted(minutes=45)
    theirs = replace(part(ours, 2, 3), holder=Holder(str(uuid4()), "grace"))
    await grant(stores, theirs)
    assert await stores.place(ours, seconds=60) is None
    assert len(await stores.ends(ours.claims)) == 1
