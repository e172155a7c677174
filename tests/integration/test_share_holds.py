"""The cap of a share on the claims that its live holds have: counted by the scripts."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

import pytest

from shared.contract.asked_at import unix_ms_now
from shared.contract.caller import Share
from shared.contract.deadline import Deadline
from shared.contract.errors import TooManyHolds
from shared.domain.claim import Claims
from shared.stores.redis.holds import PLACED_MARGIN_MS, HoldRequest, Placed
from shared.stores.redis.keys import Holder, keys_of
from tests.integration.hold_stores import Stores, grant
from tests.integration.sabotage import remove
from tests.slots import fresh_site


def capped(site: str, cell: int, *shares: Share, cells: int = 1, token: str | None = None) -> HoldRequest:
    """Return a request of a caller with some shares for cells from a number on."""
    claims = Claims(site, tuple(f"default/{n}" for n in range(cell, cell + cells)))
    return HoldRequest(claims, Holder(token or str(uuid4()), "ada"), unix_ms_now(), shares)


async def place(stores: Stores, *requests: HoldRequest) -> list[bool]:
    """Return which holds are placed; the others are refused because a share has too many."""
    placed = await stores.holds.place_many(requests, Deadline.after(60))
    assert all(isinstance(answer, Placed | TooManyHolds) for answer in placed), placed
    return [isinstance(answer, Placed) for answer in placed]


async def held(stores: Stores, site: str, shares: Sequence[Share]) -> list[set[str]]:
    """Return the claims that count in each share."""
    keys = (f"share_holds:{{{site}}}:{share.id}" for share in shares)
    return [set(map(str, await stores.redis.zrange(key, 0, -1))) for key in keys]


async def test_one_batch_places_as_many_claims_as_the_cap(stores: Stores) -> None:
    """In one run of the script, holds of a share are placed up to its cap, counted in claims."""
    site, share = fresh_site(), Share(id="phone:1", holds=5)
    requests = [capped(site, 10 * n, share, cells=2) for n in range(3)]
    assert await place(stores, *requests, capped(site, 40, share)) == [True, True, False, True]
    assert await place(stores, capped(site, 50, share)) == [False]


@pytest.mark.parametrize(("without", "granted"), [("", 7), ("no_cap_of_holds", 60)])
async def test_workers_together_place_as_many_holds_as_the_cap(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, without: str, granted: int
) -> None:
    """Of 60 concurrent holds of a share with the cap 7, exactly 7 are placed. Control: all are."""
    remove(monkeypatch, without)
    site, share = fresh_site(), Share(id="phone:1", holds=7)
    placed = await asyncio.gather(*(place(stores, capped(site, n, share)) for n in range(60)))
    assert sum(answer for (answer,) in placed) == granted
    (counted,) = await held(stores, site, [share])
    assert len(counted) == granted


async def test_refused_hold_changes_nothing(stores: Stores) -> None:
    """A hold that exceeds one of its shares counts in none, and Redis is as before."""
    site, narrow, wide = fresh_site(), Share(id="narrow", holds=1), Share(id="wide", holds=9)
    assert await place(stores, capped(site, 1, narrow, wide)) == [True]
    before = {key: await stores.redis.pexpiretime(key) for key in await stores.keys(site)}
    assert await place(stores, capped(site, 2, wide, narrow)) == [False]
    assert {key: await stores.redis.pexpiretime(key) for key in await stores.keys(site)} == before
    assert await held(stores, site, [narrow, wide]) == [{"default/1"}] * 2


async def test_shares_and_sites_are_counted_apart(stores: Stores) -> None:
    """A share at its cap limits no other share, no caller without shares, and not itself in another site."""
    site, used_up, other = fresh_site(), Share(id="1", holds=1), Share(id="2", holds=1)
    assert await place(stores, capped(site, 1, used_up), capped(site, 2, used_up)) == [True, False]
    assert await place(stores, capped(site, 2, other), capped(site, 3)) == [True, True]
    assert await place(stores, capped(fresh_site(), 2, used_up)) == [True]
    assert await place(stores, capped(site, 4, Share(id="1"))) == [True]  # no cap


async def test_extension_does_not_count_again(stores: Stores) -> None:
    """A token extends its hold at the cap, alone or by a claim more than the share has left."""
    site, share = fresh_site(), Share(id="1", holds=2)
    hold = capped(site, 1, share, cells=2)
    await grant(stores, hold)
    for _ in range(2):
        assert await place(stores, hold) == [True]
        await grant(stores, hold)
    assert await place(stores, replace(hold, claims=capped(site, 1, cells=3).claims)) == [False]


@pytest.mark.parametrize(("without", "refused"), [("", True), ("extension_is_not_counted", False)])
async def test_hold_that_another_caller_extends_counts_until_it_ends(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, without: str, refused: bool
) -> None:
    """A hold counts in the shares of the caller that placed it, also after another caller extends it.

    Control: if it counts only for the time for which it was placed, its client holds as much again.
    """
    site, share = fresh_site(), Share(id="1", holds=2)
    hold = capped(site, 1, share, cells=2)
    remove(monkeypatch, without)
    placed = await stores.place(hold, seconds=0.1)
    assert placed
    await stores.grant(hold, placed)
    extension = replace(hold, shares=(Share(id="2", holds=0),))
    await grant(stores, extension)
    await asyncio.sleep(PLACED_MARGIN_MS / 1000 + 0.15)  # the time for which it was placed
    assert await place(stores, capped(site, 5, share)) == [not refused]
    for key, claim in zip(keys_of(hold.claims), hold.claims.keys, strict=True):
        counted = await stores.redis.zscore(f"share_holds:{{{site}}}:1", claim)
        assert (counted == await stores.redis.pexpiretime(key)) is refused


async def test_ended_hold_no_longer_counts(stores: Stores) -> None:
    """A withdrawn, released, used-up or expired hold is given back to all of its shares."""
    site, shares = fresh_site(), (Share(id="1", holds=2), Share(id="2", holds=2))
    hold, next_hold = (capped(site, n, *shares, cells=2) for n in (1, 10))
    placed = await stores.place(hold, seconds=60)
    assert placed
    assert await place(stores, next_hold) == [False]
    await stores.withdraw(hold, placed)
    assert await held(stores, site, shares) == [set()] * 2

    await grant(stores, hold)
    assert await place(stores, next_hold) == [False]
    assert await stores.release(hold, asked_at=unix_ms_now() + 1)
    assert await held(stores, site, shares) == [set()] * 2

    again = replace(hold, holder=Holder(str(uuid4()), "ada"))
    await grant(stores, again)
    assert await place(stores, next_hold) == [False]
    await stores.book(again.claims, token=again.holder.token)
    assert await held(stores, site, shares) == [set()] * 2

    assert await stores.place(again, seconds=0.1)  # it is never granted
    assert await place(stores, next_hold) == [False]
    (end, *_) = await stores.ends(again.claims)
    await asyncio.sleep((end + 2) / 1000)
    assert await place(stores, next_hold) == [True]


async def test_hold_counts_on_if_its_end_is_not_given_back(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: without `give_back`, the caps of released, used-up and withdrawn holds stay used up."""
    remove(monkeypatch, "holds_stay_counted")
    for end in ("withdraw", "release", "book"):
        site, share = fresh_site(), Share(id="1", holds=1)
        hold = capped(site, 1, share)
        placed = await stores.place(hold, seconds=60)
        assert placed
        match end:
            case "withdraw":
                await stores.withdraw(hold, placed)
            case "release":
                assert await stores.release(hold, asked_at=unix_ms_now() + 1)
            case _:
                await stores.book(hold.claims, token=hold.holder.token)
        assert await stores.redis.exists(*keys_of(hold.claims)) == 0
        assert await place(stores, capped(site, 2, share)) == [False]


async def test_expired_claims_do_not_accumulate(stores: Stores) -> None:
    """A share that is used continuously keeps no expired claims, and its key expires after its last hold."""
    site, share = fresh_site(), Share(id="1", holds=100)
    key = f"share_holds:{{{site}}}:1"
    await stores.redis.zadd(key, {f"old/{n}": n + 1 for n in range(40)})
    for n in range(20):
        assert await place(stores, capped(site, n, share)) == [True]
    assert await stores.redis.zcard(key) == 20
    assert 0 < await stores.redis.pttl(key) < 65_000


async def test_holds_without_shares_leave_no_counts(stores: Stores) -> None:
    """A hold of a caller without shares makes the same keys as ever."""
    hold = capped(fresh_site(), 1)
    await grant(stores, hold)
    assert {key.partition(":")[0] for key in await stores.keys(hold.claims.site)} == {
        "hold",
        "token",
        "held",
        "held_ends",
        "held_resources",
    }
