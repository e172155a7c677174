"""Holds in Redis that end before their time: released, or used up by a booking, with all of their claims."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from shared.stores.redis.holds import HoldRequest
from shared.stores.redis.intents import HoldState
from shared.stores.redis.keys import Holder, keys_of, token_key
from tests.integration.hold_stores import Stores, grant, part, rival_of, wanted


def of_another(hold: HoldRequest, digest: str = "grace") -> HoldRequest:
    """The same, wanted by somebody else."""
    return replace(hold, holder=Holder(str(uuid4()), digest))


@pytest.mark.parametrize("granted", [True, False], ids=["granted", "only placed"])
async def test_releasing_a_hold_frees_all_of_it(stores: Stores, granted: bool) -> None:
    """A release ends all that a token holds, granted or not, and leaves no key; its repeat finds nothing."""
    hold = wanted(minutes=60)
    placed = await stores.place(hold, seconds=60)
    assert placed is not None
    if granted:
        assert await stores.grant(hold, placed)
    assert await stores.release(hold)
    assert await stores.keys_of_holds(hold.claims.site) == []
    assert not await stores.release(hold)


async def test_a_wrong_token_releases_nothing(stores: Stores) -> None:
    """Who does not know the token of a hold cannot end it."""
    hold = wanted(minutes=30)
    await grant(stores, hold)
    assert not await stores.release(of_another(hold))
    assert await stores.found_by(rival_of(hold)) is HoldState.OTHERS


async def test_a_release_leaves_what_another_holds_by_now(stores: Stores) -> None:
    """Of a hold that another has a part of since, for it had ended there, the rest alone is freed."""
    hold = wanted(minutes=30)
    await grant(stores, hold)
    await stores.redis.delete(keys_of(hold.claims)[0])
    theirs = of_another(part(hold, 0, 1))
    await grant(stores, theirs)
    assert await stores.release(hold)
    assert await stores.found_by(rival_of(theirs)) is HoldState.OTHERS
    assert await stores.found_by(rival_of(part(hold, 1, 2))) is HoldState.FREE
    assert await stores.release(theirs)


async def test_a_release_frees_what_a_hold_was_extended_to(stores: Stores) -> None:
    """A token that has held more and more of its site gives all of it back at once."""
    hold = wanted(minutes=60)
    for first, last in ((0, 1), (0, 3), (2, 4)):
        await grant(stores, part(hold, first, last))
    assert await stores.release(part(hold, 0, 1))
    assert await stores.keys_of_holds(hold.claims.site) == []


async def test_a_hold_that_was_released_is_not_granted(stores: Stores) -> None:
    """A hold that is released before it is granted stands for nobody, nor does a part of it."""
    hold = wanted(minutes=30)
    placed = await stores.place(hold, seconds=60)
    assert placed is not None
    assert await stores.release(hold)
    assert await stores.grant(hold, placed) is None
    assert await stores.keys(hold.claims.site) == []


async def test_holds_of_several_sites_are_released_together(stores: Stores) -> None:
    """Of releases that are done together, each is told what became of its own hold."""
    holds = [wanted(minutes=30) for _ in range(40)]
    for hold in holds[::2]:
        await grant(stores, hold)
    released = await asyncio.gather(*(stores.release(hold) for hold in holds))
    assert released == [True, False] * 20


@pytest.mark.parametrize("known_by", ["token", "name"])
async def test_a_booking_uses_up_the_whole_hold(stores: Stores, known_by: str) -> None:
    """Who holds an hour and books a quarter of it, by token or by name, holds nothing of the rest."""
    hold = replace(wanted(minutes=60), holder=Holder(str(uuid4()), "ada"))
    await grant(stores, hold)
    quarter = part(hold, 1, 2).claims
    if known_by == "token":
        await stores.book(quarter, token=hold.holder.token)
    else:
        await stores.book(quarter, digest="ada")
    assert await stores.keys_of_holds(hold.claims.site) == []


async def test_a_booking_uses_up_no_hold_that_it_did_not_meet(stores: Stores) -> None:
    """A patient's hold elsewhere stays, though the booking has its token; so does another's beside it."""
    hour = wanted(minutes=60)
    first, second, third = (of_another(part(hour, n, n + 1), "ada") for n in range(3))
    for hold in (first, second, third):
        await grant(stores, hold)
    await stores.book(first.claims, token=third.holder.token, digest="ada")
    assert await stores.found_by(rival_of(first)) is HoldState.FREE
    for hold in (second, third):
        assert await stores.found_by(rival_of(hold)) is HoldState.OTHERS


async def test_what_a_token_holds_is_known_as_long_as_it_holds(stores: Stores) -> None:
    """The record of a token ends no sooner than any claim of it, and soon after the last."""
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


async def test_no_key_of_holds_is_without_an_end(stores: Stores) -> None:
    """Whatever is placed, granted, extended, withdrawn or used up, each key in Redis ends by itself."""
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


async def test_a_token_that_is_used_for_ever_does_not_grow(stores: Stores) -> None:
    """A caller with one token for all of its holds has no more in Redis than what it holds now."""
    day = wanted(minutes=24 * 60)
    key = token_key(day.claims.site, day.holder.token)
    for n in range(96):
        await grant(stores, part(day, n, n + 1))
        await stores.redis.zadd(key, {day.claims.keys[n]: 1}, xx=True)  # its time has come
    assert await stores.redis.zcard(key) == 1
