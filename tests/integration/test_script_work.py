"""No script holds up Redis for long: each does a bounded amount of work, however much it is asked for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.redis import Redis as EmbeddedRedis
from shared.contract.deadline import Deadline
from shared.domain.claim import Claims
from shared.stores.redis.connection import connect_redis
from shared.stores.redis.holds import HoldRequest, Placed, Release
from shared.stores.redis.intents import BookingIntent
from shared.stores.redis.keys import Holder, held_keys
from tests.integration.hold_stores import DAY, Stores, grant, part, wanted

LONGEST_MILLISECONDS = 10
RUNS = 3
STORMS = 20
RESOURCES = tuple(f"resource-{n}" for n in range(8))


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Stores]:
    """The stores on a Redis of their own."""
    with EmbeddedRedis(tmp_path) as server:
        redis = connect_redis(server.url)
        yield Stores.on(redis)
        await redis.aclose()


def largest(day: int = 0, token: str | None = None) -> HoldRequest:
    """As much as one command may claim: 75 cells of 8 resources."""
    begin = int(DAY.timestamp() * 1000) + day * 86_400_000
    keys = tuple(f"{name}/{begin + n * 900_000}" for name in RESOURCES for n in range(75))
    return replace(wanted(), claims=Claims("site", keys), holder=Holder(token or str(uuid4()), "ada"))


def in_flight(days: int = 128) -> list[BookingIntent]:
    """Bookings of one site that are under way, each as large as it may be."""
    return [BookingIntent(largest(day).claims, Holder("", "ada")) for day in range(days)]


async def busy(stores: Stores) -> tuple[float, int]:
    """How many ms of a processor Redis has used, and how many scripts it has run."""
    cpu, commands = await stores.redis.info("cpu"), await stores.redis.info("commandstats")
    seconds = cpu["used_cpu_user_main_thread"] + cpu["used_cpu_sys_main_thread"]
    scripts = sum(commands.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))
    return seconds * 1000, scripts


async def cost_of_a_script(stores: Stores, work: Callable[[], Awaitable[object]]) -> float:
    """How many ms a script takes of what `work` has Redis do, if nothing else runs on its processor."""
    before = await busy(stores)
    await work()
    after = await busy(stores)
    return (after[0] - before[0]) / (after[1] - before[1])


async def work_of(  # noqa: PLR0912 - a case each
    stores: Stores, name: str
) -> Callable[[], Awaitable[object]]:
    """The most that one call may have a script do; a new Redis is prepared for it."""
    await stores.redis.flushall()
    hold = largest()
    intents = in_flight()
    match name:
        case "place":
            return lambda: stores.holds.place_many([largest(day) for day in range(20)], Deadline.after(60))
        case "grant" | "extend" | "withdraw":
            if name == "extend":
                await grant(stores, hold)
            placed = await stores.place(hold, seconds=60)
            assert placed is not None
            if name == "withdraw":
                return lambda: stores.withdraw(hold, placed)
            return lambda: stores.grant(hold, placed)
        case "register":
            return lambda: stores.intents.register_intents(intents, seconds=60)
        case "place beside intents" | "place many beside intents":
            await stores.intents.register_intents(in_flight(), seconds=60)
            holds = [largest(1000)]
            if name == "place many beside intents":
                holds = [part(holds[0], n, n + 1) for n in range(128)]
            return lambda: stores.holds.place_many(holds, Deadline.after(60))
        case "clear":
            await stores.intents.register_intents(intents, seconds=60)
            return lambda: stores.intents.clear_intents(intents)
        case "use up":  # a booking meets a claim of each of ten holds of its patient, as large as they can be
            holds = [largest(day) for day in range(10)]
            for each in holds:
                await grant(stores, each)
            met = Claims("site", tuple(each.claims.keys[0] for each in holds))
            return lambda: stores.book(met, digest="ada")
        case "release":
            holds = [largest(day) for day in range(10)]
            for each in holds:
                await grant(stores, each)
            releases = [Release("site", each.holder.token, each.asked_at) for each in holds]
            return lambda: stores.holds.release_many(releases, Deadline.after(60))
        case _:
            holds = [largest(day) for day in range(20)]
            for each in holds:
                await grant(stores, each)
            _, ends = held_keys("site", RESOURCES[0])
            first = [key.rpartition("/")[2] for each in holds[:15] for key in each.claims.keys[:75]]
            await stores.redis.zadd(ends, dict.fromkeys(first, 1.0), xx=True)  # their time has come
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
    """Whatever a script is asked for, it takes less than 10 ms of a processor."""
    costs = [await cost_of_a_script(alone, await work_of(alone, name)) for _ in range(RUNS)]
    assert min(costs) < LONGEST_MILLISECONDS, costs


async def test_what_is_left_for_later_is_done_too(alone: Stores) -> None:
    """A booking that meets many large holds of its patient uses up all of them, over several runs."""
    holds = [largest(day) for day in range(6)]
    for each in holds:
        await grant(alone, each)
    met = Claims("site", tuple(each.claims.keys[0] for each in holds))
    await alone.book(met, digest="ada")
    assert await alone.keys_of_holds("site") == []
    again = [replace(each, holder=Holder(str(uuid4()), "ada")) for each in holds]
    for each in again:
        await grant(alone, each)
    releases = [Release("site", each.holder.token, each.asked_at) for each in again]
    assert await alone.holds.release_many(releases, Deadline.after(60)) == [True] * 6
    assert await alone.keys_of_holds("site") == []


async def test_a_storm_leaves_no_slow_script(alone: Stores) -> None:
    """While many hold, book and release the same slots, the slow log stays empty."""
    redis = alone.redis
    await redis.config_set("slowlog-log-slower-than", LONGEST_MILLISECONDS * 1000)
    slow: list[Any] = []
    for _ in range(STORMS):  # on a busy machine any command may wait for a processor, once
        await redis.slowlog_reset()
        holds = [part(largest(day), 0, 8) for day in range(10) for _ in range(4)]
        await asyncio.gather(*(storm(alone, hold) for hold in holds))
        slow = [each for each in await redis.slowlog_get(100) if "EVAL" in str(each["command"])]
        if not slow:
            return
    raise AssertionError(slow)


async def storm(stores: Stores, hold: HoldRequest) -> None:
    """Hold, book and release what rivals want too."""
    (placed,) = await stores.holds.place_many([hold], Deadline.after(60))
    intent = BookingIntent(hold.claims, replace(hold.holder, token="", digest="another"))
    await stores.intents.register_intents([intent], seconds=60)
    if isinstance(placed, Placed):
        await stores.grant(hold, placed)
    await stores.intents.clear_intents([intent])
    await stores.try_release(hold)
