"""Holds in Redis that end early, released or used up by a booking, lose all of their claims."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from shared.stores.redis.holds import HoldRequest
from shared.stores.redis.intents import HoldState
from shared.stores.redis.keys import Holder, keys_of, token_key
from tests.integration.hold_stores import Stores, grant, part, rival_of, wanted


def of_another(hold: HoldRequest, digest: str = "grace") -> HoldRequest:
    """Return the same claims for another token and patient."""
    return replace(hold, holder=Holder(str(uuid4()), digest))


@pytest.mark.parametrize("granted", [True, False], ids=["granted", "only placed"])
async def test_releasing_a_hold_frees_all_of_it(stores: Stores, granted: bool) -> None:
    """A release removes all claims of a token, granted or not; a second release finds nothing."""
    hold = wanted(minutes=60)
    placed = await stores.place(hold, seconds=60)
    assert placed is not None
    if granted:
        assert await stores.grant(hold, placed)
    assert await stores.release(hold)
    assert await stores.keys_of_holds(hold.claims.site) == []
    assert not await stores.release(hold)


async def test_a_wrong_token_releases_nothing(stores: Stores) -> None:
    """A release with another token keeps the hold."""
    hold = wanted(minutes=30)
    await grant(stores, hold)
    assert not await stores.release(of_another(hold))
    assert await stores.found_by(rival_of(hold)) is HoldState.OTHERS


async def test_a_release_keeps_claims_that_another_token_holds_since(stores: Stores) -> None:
    """If part of a hold has expired and another token holds it, a release frees only the rest."""
    hold = wanted(minutes=30)
    await grant(stores, hold)
    await stores.redis.delete(keys_of(hold.claims)[0])
    others_hold = of_another(part(hold, 0, 1))
    await grant(stores, others_hold)
    assert await stores.release(hold)
    assert await stores.found_by(rival_of(others_hold)) is HoldState.OTHERS
    assert await stores.found_by(rival_of(part(hold, 1, 2))) is HoldState.FREE
    assert await stores.release(others_hold)


async def test_a_release_frees_all_extensions_of_a_hold(stores: Stores) -> None:
    """A release frees all claims that a token has collected in several holds."""
    hold = wanted(minutes=60)
    for first, last in ((0, 1), (0, 3), (2, 4)):
        await grant(stores, part(hold, first, last))
    assert await stores.release(part(hold, 0, 1))
    assert await stores.keys_of_holds(hold.claims.site) == []


async def test_a_hold_that_was_released_before_its_grant_is_not_granted(stores: Stores) -> None:
    """A hold that is released between placing and granting is not granted, and leaves no key."""
    hold = wanted(minutes=30)
    placed = await stores.place(hold, seconds=60)
    assert placed is not None
    assert await stores.release(hold)
    assert await stores.grant(hold, placed) is None
    assert await stores.keys(hold.claims.site) == []


async def test_holds_of_several_sites_are_released_together(stores: Stores) -> None:
    """Forty simultaneous releases of different sites each return whether their own token held something."""
    holds = [wanted(minutes=30) for _ in range(40)]
    for hold in holds[::2]:
        await grant(stores, hold)
    released = await asyncio.gather(*(stores.release(hold) for hold in holds))
    assert released == [True, False] * 20


@pytest.mark.parametrize("known_by", ["token", "name"])
async def test_a_booking_uses_up_the_whole_hold(stores: Stores, known_by: str) -> None:
    """A booking of a quarter of a held hour, by token or by name, removes the whole hold."""
    hold = replace(wanted(minutes=60), holder=Holder(str(uuid4()), "ada"))
    await grant(stores, hold)
    quarter = part(hold, 1, 2).claims
    if known_by == "token":
        await stores.book(quarter, token=hold.holder.token)
    else:
        await stores.book(quarter, digest="ada")
    assert await stores.keys_of_holds(hold.claims.site) == []


async def test_a_booking_keeps_holds_that_it_does_not_overlap(stores: Stores) -> None:
    """A booking removes no hold outside its claims, though it has the token or the name of that hold."""
    hour = wanted(minutes=60)
    first, second, third = (of_another(part(hour, n, n + 1), "ada") for n in range(3))
    for hold in (first, second, third):
        await grant(stores, hold)
    await stores.book(first.claims, token=third.holder.token, digest="ada")
    assert await stores.found_by(rival_of(first)) is HoldState.FREE
    for hold in (second, third):
        assert await stores.found_by(rival_of(hold)) is HoldState.OTHERS


async def test_the_record_of_a_token_outlives_its_claims(stores: Stores) -> None:
    """The record of a token's claims ends no sooner than any of them, and soon after the last."""
    hold = wanted(minutes=30)
    for n in range(3):
        claims = part(hold, 0, min(n + 1, 2))
        placed = await stores.place(claims, seconds=1 if n == 0 else 60)
        assert placed is not None
        for granted in (False, True):
            if granted:
                assert await stores.grant(claims, placed)
            ends = await stores.redis.pttl(token_key(hold.claims.site, hold.holder.token))
            assert max(await stores.ends(claims.claims)) <= ends + 1 <= 60_000 + 60_000 + 2_000


async def test_every_key_of_holds_has_a_ttl(stores: Stores) -> None:
    """Every key in Redis has a TTL after holds are placed, granted, extended and withdrawn."""
    hold = wanted(minutes=60)
    for first, last in ((0, 2), (1, 4), (0, 4)):
        placed = await stores.place(part(hold, first, last), seconds=1)
        assert placed is not None
        assert await stores.grant(part(hold, first, last), placed)
        await stores.withdraw(part(hold, first, last), placed)
        keys = await stores.keys(hold.claims.site)
        assert {key.partition(":")[0] for key in keys} == {
            "hold",
            "token",
            "held",
            "held_ends",
            "held_resources",
        }
        assert min([await stores.redis.pttl(key) for key in keys]) > 0


async def test_the_record_of_a_reused_token_does_not_grow(stores: Stores) -> None:
    """The record of a token that is reused for many holds has only its current claims."""
    day = wanted(minutes=24 * 60)
    key = token_key(day.claims.site, day.holder.token)
    for n in range(96):
        await grant(stores, part(day, n, n + 1))
        await stores.redis.zadd(key, {day.claims.keys[n]: 1}, xx=True)  # it has expired
    assert await stores.redis.zcard(key) == 1
