"""The hold index: it lists every granted hold of a resource once, by its slot, until the hold ends."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from shared.contract.deadline import Deadline
from shared.domain.claim import Claims
from shared.domain.grid import Grid
from shared.domain.time_range import Cells
from shared.stores.redis.hold_index import HoldIndex
from shared.stores.redis.holds import HoldRequest, Placed
from shared.stores.redis.keys import Holder, held_keys, keys_of
from shared.stores.redis.scripts import Scripts
from shared.stores.redis.servers import SingleServer
from tests.integration.hold_stores import DAY_MS, Stores, grant, part, range_of, wanted


def of_another(hold: HoldRequest) -> HoldRequest:
    """Return the same request, of another patient."""
    return replace(hold, holder=Holder(str(uuid4()), "grace"))


async def test_hold_is_listed_once_it_is_granted(stores: Stores) -> None:
    """A placed hold is not listed, because no caller has its 200; a granted hold is listed once."""
    hold = wanted(minutes=45)
    placed = await stores.place(hold, seconds=60)
    assert placed is not None
    assert await stores.held_of(hold.claims.site) == []
    assert await stores.grant(hold, placed)
    assert await stores.held_of(hold.claims.site) == [(0, 3)]
    assert await stores.held_of(hold.claims.site, "other") == []


async def test_extended_hold_is_listed_once(stores: Stores) -> None:
    """However often a hold is extended, to a longer or shorter time, it is listed as one hold."""
    hold = wanted(minutes=60)
    for first, last, expected in (
        (0, 1, (0, 1)),
        (0, 3, (0, 3)),
        (1, 2, (0, 3)),
        (0, 1, (0, 3)),
        (2, 4, (0, 4)),
    ):
        await grant(stores, part(hold, first, last))
        assert await stores.held_of(hold.claims.site) == [expected]


async def test_adjacent_holds_are_listed_separately(stores: Stores) -> None:
    """Adjacent holds of two patients are two holds; so are two parts of one token that do not touch."""
    hour = wanted(minutes=60)
    first, second, third = part(hour, 0, 1), of_another(part(hour, 1, 3)), part(hour, 3, 4)
    for hold in (third, second, first):
        await grant(stores, hold)
    assert await stores.held_of(hour.claims.site) == [(0, 1), (1, 2), (3, 1)]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (0, 4, [(0, 4)]),
        (1, 2, [(0, 4)]),
        (3, 8, [(0, 4)]),
        (-4, 1, [(0, 4)]),
        (4, 8, []),
        (-4, 0, []),
    ],
)
async def test_hold_that_overlaps_the_window_is_listed_whole(
    stores: Stores, first: int, last: int, expected: list[tuple[int, int]]
) -> None:
    """A hold that starts before the window, or ends after it, is listed with its own slot and duration."""
    hold = wanted(minutes=60)
    await grant(stores, hold)
    assert await stores.held_of(hold.claims.site, first=first, last=last) == expected


async def test_longest_hold_is_found_from_its_last_quarter(stores: Stores) -> None:
    """The longest possible hold is found by a window that starts almost a day later."""
    hold = wanted(minutes=24 * 60)
    await grant(stores, hold)
    assert await stores.held_of(hold.claims.site, first=95, last=96) == [(0, 96)]
    assert await stores.held_of(hold.claims.site, first=0, last=1) == [(0, 96)]
    assert await stores.held_of(hold.claims.site, first=96, last=97) == []


@pytest.mark.parametrize("end", ["released", "consumed", "lost"])
async def test_ended_hold_is_not_listed(stores: Stores, end: str) -> None:
    """A hold that was released or consumed, or that Redis lost, is not listed."""
    hold = wanted(minutes=30)
    await grant(stores, hold)
    match end:
        case "released":
            await stores.release(hold)
        case "consumed":
            await stores.book(part(hold, 0, 1).claims, token=hold.holder.token)
        case "lost":
            await stores.redis.delete(*keys_of(hold.claims))
    assert await stores.held_of(hold.claims.site) == []


async def test_extension_that_is_not_granted_does_not_change_the_list(stores: Stores) -> None:
    """While an extension is only placed, and after its withdrawal, its hold is listed as before."""
    hold = wanted(minutes=60)
    await grant(stores, part(hold, 0, 2))
    before = [
        await stores.redis.zrange(key, 0, -1, withscores=True)
        for key in held_keys(hold.claims.site, "default")
    ]
    placed = await stores.place(hold, seconds=60)
    assert placed is not None
    for _ in ("waiting", "withdrawn"):
        assert await stores.held_of(hold.claims.site) == [(0, 2)]
        after = [
            await stores.redis.zrange(key, 0, -1, withscores=True)
            for key in held_keys(hold.claims.site, "default")
        ]
        assert after == before
        await stores.withdraw(hold, placed)


async def test_hold_on_a_grid_of_0_is_an_instant(stores: Stores) -> None:
    """On a grid of 0 a hold has no duration, and belongs to the window that contains its instant."""
    hold, held = wanted(), HoldIndex(Scripts(SingleServer(stores.redis)), Grid(0))
    await grant(stores, hold)
    for first, last, count in ((0, 1, 1), (-1, 0, 0), (1, 2, 0)):
        window = range_of(hold.claims.site, "default", first=first, last=last)
        found = await held.held(window, None, limit=9, deadline=Deadline.after(60))
        assert found == [Cells(DAY_MS, "default", None)] * count


async def test_limit_lists_the_earliest_holds(stores: Stores) -> None:
    """A limit lists the earliest holds in slot order, even of more holds than one read of Redis returns."""
    day = wanted(minutes=24 * 60)
    days = [Claims(day.claims.site, tuple(_later(key, 96 * n) for key in day.claims.keys)) for n in range(4)]
    pairs = [
        of_another(replace(day, claims=replace(claims, keys=claims.keys[n : n + 2])))
        for claims in days
        for n in range(0, 96, 2)
    ]
    placed = await stores.holds.place_many(pairs, Deadline.after(60))
    await stores.holds.grant_many(
        [(pair, at) for pair, at in zip(pairs, placed, strict=True) if isinstance(at, Placed)]
    )
    every = [(2 * n, 2) for n in range(4 * 48)]
    assert await stores.held_of(day.claims.site, last=4 * 96) == every
    assert await stores.held_of(day.claims.site, last=4 * 96, limit=150) == every[:150]
    assert await stores.held_of(day.claims.site, first=3, last=9, limit=2) == [(2, 2), (4, 2)]


def _later(claim: str, quarters: int) -> str:
    resource, _, moment = claim.rpartition("/")
    return f"{resource}/{int(moment) + quarters * 900_000}"


async def expire(stores: Stores, hold: HoldRequest) -> None:
    """Make a hold expire now."""
    _, held_ends = held_keys(hold.claims.site, "default")
    await stores.redis.delete(*keys_of(hold.claims))
    await stores.redis.zadd(held_ends, {key.rpartition("/")[2]: 1 for key in hold.claims.keys}, xx=True)


async def test_expired_holds_do_not_accumulate(stores: Stores) -> None:
    """Under a steady load of expiring holds, the index stays as small as the number of holds."""
    day = wanted(minutes=24 * 60)
    most = 0
    for n in range(96):
        hold = of_another(part(day, n, n + 1))
        await grant(stores, hold)
        sizes = [await stores.redis.zcard(key) for key in held_keys(day.claims.site, "default")]
        assert sizes[0] == sizes[1]
        most = max(most, *sizes)
        await expire(stores, hold)
    assert most <= 2


async def test_expired_holds_are_removed_by_later_calls(stores: Stores) -> None:
    """After many holds expire, a grant removes twice as many entries as it adds; a read removes the rest."""
    day = wanted(minutes=24 * 60)
    holds = [of_another(part(day, n, n + 1)) for n in range(96)]
    placed = await stores.holds.place_many(holds, Deadline.after(60))
    await stores.holds.grant_many(
        [(hold, at) for hold, at in zip(holds, placed, strict=True) if isinstance(at, Placed)]
    )
    for hold in holds:
        await expire(stores, hold)
    held, held_ends = held_keys(day.claims.site, "default")
    await grant(stores, of_another(part(day, 0, 1)))  # at an instant that is listed already
    assert await stores.redis.zcard(held) == await stores.redis.zcard(held_ends) == 94
    assert await stores.held_of(day.claims.site) == [(0, 1)]
    assert await stores.redis.zcard(held) == await stores.redis.zcard(held_ends) == 1


async def test_index_expires_with_the_last_hold(stores: Stores) -> None:
    """The index keys of a resource expire a second after its last hold, even if later holds are shorter."""
    hold, brief = wanted(minutes=60), Stores.on(stores.redis, hold_ms=2_000)
    await grant(stores, part(hold, 0, 2))
    await grant(brief, of_another(part(hold, 2, 4)))
    for key in held_keys(hold.claims.site, "default"):
        assert 50_000 < await stores.redis.pttl(key) <= 61_000


async def test_expired_hold_is_not_listed(stores: Stores) -> None:
    """A hold whose time is over is not listed, and in the end Redis has no key of its site."""
    brief, hold = Stores.on(stores.redis, hold_ms=1), wanted(minutes=30)
    await grant(brief, hold, seconds=1)
    keys = await stores.keys(hold.claims.site)
    async with asyncio.timeout(20):
        while keys:
            await asyncio.sleep(0.05)
            keys = await stores.keys(hold.claims.site)
    assert await stores.held_of(hold.claims.site) == []
