"""No Lua script blocks Redis for 10 ms: the work of one run is bounded, even for the largest commands."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.redis import Redis as EmbeddedRedis
from shared.contract.caller import MOST_SHARES, Share
from shared.contract.deadline import Deadline
from shared.domain.claim import Claims
from shared.stores.redis.connection import connect_redis
from shared.stores.redis.holds import HoldRequest, Placed, Release
from shared.stores.redis.intents import BookingIntent
from shared.stores.redis.keys import Holder, held_keys
from shared.stores.redis.quotas import quota_of_bookings
from tests.integration.hold_stores import DAY, Stores, grant, part, wanted

LONGEST_MILLISECONDS = 10
LONGEST_READS = 15_000
"""Reads of one key that a script executes in 10 ms of CPU time, on a core that is not throttled."""
READS = "for n = 1, 10000 do redis.call('GET', KEYS[1]) end"
RUNS = 10
STORMS = 20
RESOURCES = tuple(f"resource-{n}" for n in range(8))


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Stores]:
    """Make the stores on a Redis of their own."""
    with EmbeddedRedis(tmp_path) as server:
        redis = connect_redis(server.url)
        yield Stores.on(redis)
        await redis.aclose()


def largest(day: int = 0, token: str | None = None, shares: Sequence[Share] = ()) -> HoldRequest:
    """Return the most claims that one command may have: 75 cells of 8 resources."""
    begin = int(DAY.timestamp() * 1000) + day * 86_400_000
    keys = tuple(f"{name}/{begin + n * 900_000}" for name in RESOURCES for n in range(75))
    holder = Holder(token or str(uuid4()), "ada")
    return replace(wanted(), claims=Claims("site", keys), holder=holder, shares=shares)


def in_flight(days: int = 128, *, cells: int = 600, shares: Sequence[Share] = ()) -> list[BookingIntent]:
    """Return bookings of one site in flight, by default with the most claims that a booking may have."""
    return [
        BookingIntent(
            part(largest(day), 0, cells).claims,
            Holder("", "ada"),
            quota_of_bookings(shares, cells, uuid4().__str__),
        )
        for day in range(days)
    ]


async def cpu_ms_and_scripts(stores: Stores) -> tuple[float, int]:
    """Return the ms of CPU time that Redis has used, and the number of scripts that it has run."""
    cpu, commands = await stores.redis.info("cpu"), await stores.redis.info("commandstats")
    seconds = cpu["used_cpu_user_main_thread"] + cpu["used_cpu_sys_main_thread"]
    scripts = sum(commands.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))
    return seconds * 1000, scripts


async def cost_of_a_script(stores: Stores, work: Callable[[], Awaitable[object]]) -> float:
    """Return the ms of CPU time of Redis for each script that `work` runs."""
    before = await cpu_ms_and_scripts(stores)
    await work()
    after = await cpu_ms_and_scripts(stores)
    return (after[0] - before[0]) / (after[1] - before[1])


async def reads_of_a_script(stores: Stores, name: str, shares: Sequence[Share] = ()) -> float:
    """Return how many reads of one key cost Redis as much CPU time as a script.

    A core may change its speed between the two measurements, so only a cost that stays too high counts.
    """
    cost = float("inf")
    for _ in range(RUNS):
        script = await cost_of_a_script(stores, await work_of(stores, name, shares))
        reads = await cost_of_a_script(stores, lambda: stores.redis.eval(READS, 1, "{site}"))
        cost = min(cost, script / reads * 10_000)
        if cost < LONGEST_READS:
            break
    return cost


async def work_of(  # noqa: PLR0912 - one case for each script
    stores: Stores, name: str, shares: Sequence[Share] = ()
) -> Callable[[], Awaitable[object]]:
    """Return a call that gives a script the most work possible, on a Redis that is prepared for it."""
    await stores.redis.flushall()
    hold = largest(shares=shares)
    intents = in_flight(shares=shares)
    match name:
        case "place":
            holds = [largest(day, shares=shares) for day in range(20)]
            return lambda: stores.holds.place_many(holds, Deadline.after(60))
        case "place many":
            holds = [part(largest(day, shares=shares), 0, 3) for day in range(128)]
            return lambda: stores.holds.place_many(holds, Deadline.after(60))
        case "grant" | "extend" | "withdraw":
            if name == "extend":
                await grant(stores, hold)
            placed = await stores.place(hold, seconds=60)
            assert placed is not None
            if name == "withdraw":
                return lambda: stores.withdraw(hold, placed)
            return lambda: stores.grant(hold, placed)
        case "register many":
            small = in_flight(cells=4, shares=shares)
            return lambda: stores.intents.register_intents(small, seconds=60)
        case "register":
            return lambda: stores.intents.register_intents(intents, seconds=60)
        case "place beside intents" | "place many beside intents":
            await stores.intents.register_intents(in_flight(), seconds=60)
            holds = [largest(1000)]
            if name == "place many beside intents":
                holds = [part(holds[0], n, n + 1) for n in range(128)]
            return lambda: stores.holds.place_many(holds, Deadline.after(60))
        case "clear" | "clear many":
            if name == "clear many":
                intents = in_flight(cells=4, shares=shares)
            await stores.intents.register_intents(intents, seconds=60)
            return lambda: stores.intents.clear_intents(intents)
        case "use up":  # a booking overlaps ten holds of its patient, all of the largest size
            holds = [largest(day, shares=shares) for day in range(10)]
            for claim in holds:
                await grant(stores, claim)
            overlapped = Claims("site", tuple(claim.claims.keys[0] for claim in holds))
            return lambda: stores.book(overlapped, digest="ada")
        case "release":
            holds = [largest(day, shares=shares) for day in range(10)]
            for claim in holds:
                await grant(stores, claim)
            releases = [Release("site", claim.holder.token, claim.asked_at) for claim in holds]
            return lambda: stores.holds.release_many(releases, Deadline.after(60))
        case _:
            holds = [largest(day) for day in range(20)]
            for claim in holds:
                await grant(stores, claim)
            _, ends = held_keys("site", RESOURCES[0])
            first = [key.rpartition("/")[2] for claim in holds[:15] for key in claim.claims.keys[:75]]
            await stores.redis.zadd(ends, dict.fromkeys(first, 1.0), xx=True)  # they have expired
            return lambda: stores.held_of("site", RESOURCES[0], last=20 * 96)


@pytest.mark.parametrize(
    "name",
    [
        "place",
        "place beside intents",
        "place many beside intents",
        "grant",
        "extend",
        "withdraw",
        "register",
        "clear",
        "use up",
        "release",
        "look",
    ],
)
async def test_no_script_takes_ten_milliseconds(alone: Stores, name: str) -> None:
    """Every script takes less CPU time than the reads of 10 ms, even for the largest commands."""
    assert await reads_of_a_script(alone, name) < LONGEST_READS


@pytest.mark.parametrize(
    "name",
    [
        "place",
        "place many",
        "grant",
        "extend",
        "withdraw",
        "register",
        "register many",
        "clear",
        "clear many",
        "use up",
        "release",
    ],
)
async def test_no_script_that_counts_in_shares_takes_ten_milliseconds(alone: Stores, name: str) -> None:
    """No script takes 10 ms of CPU time, also if each claim counts in as many shares as a caller may have."""
    shares = [Share(id=f"share-{n}", holds=1_000_000, bookings=1_000_000) for n in range(MOST_SHARES)]
    costs = [await cost_of_a_script(alone, await work_of(alone, name, shares)) for _ in range(RUNS)]
    assert min(costs) < LONGEST_MILLISECONDS, costs


async def test_work_that_is_split_over_several_runs_is_completed(alone: Stores) -> None:
    """A booking or release of many large holds removes all of them, over several runs of the script."""
    holds = [largest(day) for day in range(6)]
    for claim in holds:
        await grant(alone, claim)
    overlapped = Claims("site", tuple(claim.claims.keys[0] for claim in holds))
    await alone.book(overlapped, digest="ada")
    assert await alone.keys_of_holds("site") == []
    again = [replace(claim, holder=Holder(str(uuid4()), "ada")) for claim in holds]
    for claim in again:
        await grant(alone, claim)
    releases = [Release("site", claim.holder.token, claim.asked_at) for claim in again]
    assert await alone.holds.release_many(releases, Deadline.after(60)) == [True] * 6
    assert await alone.keys_of_holds("site") == []


async def test_racing_holds_bookings_and_releases_cause_no_slow_script(alone: Stores) -> None:
    """While holds, bookings and releases race for the same slots, Redis's slow log has no script."""
    redis = alone.redis
    await redis.config_set("slowlog-log-slower-than", LONGEST_MILLISECONDS * 1000)
    slow: list[Any] = []
    for _ in range(STORMS):  # on a busy machine any command may wait for the CPU once
        await redis.slowlog_reset()
        holds = [part(largest(day), 0, 8) for day in range(10) for _ in range(4)]
        await asyncio.gather(*(storm(alone, hold) for hold in holds))
        slow = [entry for entry in await redis.slowlog_get(100) if "EVAL" in str(entry["command"])]
        if not slow:
            return
    raise AssertionError(slow)


async def storm(stores: Stores, hold: HoldRequest) -> None:
    """Hold, book and release slots that rivals want too."""
    (placed,) = await stores.holds.place_many([hold], Deadline.after(60))
    intent = BookingIntent(hold.claims, replace(hold.holder, token="", digest="another"))
    await stores.intents.register_intents([intent], seconds=60)
    if isinstance(placed, Placed):
        await stores.grant(hold, placed)
    await stores.intents.clear_intents([intent])
    await stores.try_release(hold)
