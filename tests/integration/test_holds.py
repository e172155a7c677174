"""Holds: how long they last, what they leave behind, and what a lost Redis costs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from uuid import uuid4

import httpx
import nats
import pytest
from redis import Redis

from deploy.local.redis import Redis as EmbeddedRedis
from shared.contract.deadline import Deadline
from tests.callers import Answer, HttpCaller, NatsCaller
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Stack, wait_until

HELD = "Slot is currently held by another user"


@pytest.fixture(scope="module")
def short_stack(servers: Servers) -> Iterator[Stack]:
    """Holds of four seconds, five at the most."""
    with servers.new_stack(SOFT_HOLD_SECONDS="4", HOLD_MAX_SECONDS="5") as stack:
        yield stack.up(booking_workers=1)


@pytest.fixture
async def short(short_stack: Stack) -> AsyncIterator[HttpCaller]:
    async with httpx.AsyncClient(base_url=short_stack.url, timeout=20) as client:
        yield HttpCaller(client)


@pytest.fixture
def redis(short_stack: Stack) -> Iterator[Redis]:
    with Redis.from_url(short_stack.env["REDIS_URL"], decode_responses=True) as client:
        yield client


def keys_of(redis: Redis, site: str) -> list[str]:
    return list(redis.scan_iter(f"*{{{site}}}*"))


def value_of(redis: Redis, key: str) -> object:
    """What a key has, a string or a sorted set."""
    return (
        redis.get(key)
        if key.startswith(("hold:", "released:"))
        else redis.zrange(key, 0, -1, withscores=True)
    )


async def test_a_hold_says_how_long_it_lasts(short: HttpCaller) -> None:
    """The message tells the time that the hold really has."""
    assert (await short.hold(fresh())).body["message"] == "Slot held for 4 seconds"


async def test_a_hold_expires(short: HttpCaller, redis: Redis) -> None:
    """A hold that is not used frees its slot by itself."""
    body = fresh("Ada")
    await short.hold(body)
    rival = {**body, "patientName": "Grace"}
    assert (await short.book(rival)).error == HELD
    wait_until(lambda: not keys_of(redis, body["site"]), "the hold has expired", 10)
    assert (await short.book(rival)).status == 201


async def test_an_extended_hold_is_capped(short: HttpCaller) -> None:
    """However often a hold is extended, it ends HOLD_MAX_SECONDS after it was first placed."""
    body = fresh(holdToken=str(uuid4()))
    ends: list[datetime] = []
    while not ends or ends.count(ends[-1]) < 2:
        answer = await short.hold(body)
        ends.append(datetime.fromisoformat(answer.body["hold"]["expiresAt"]))
        assert ends[-1] - ends[0] <= timedelta(seconds=1)
    assert ends == sorted(ends)
    assert ends[-1] - ends[0] == timedelta(seconds=1)


async def test_every_key_has_an_end(short: HttpCaller, redis: Redis) -> None:
    """Redis never gets a key without a TTL, nor a patient's name."""
    body = fresh("Zebra Canary")
    await short.hold(body)
    keys = keys_of(redis, body["site"])
    assert keys
    assert all(redis.pttl(key) > 0 for key in keys)
    assert "Zebra" not in f"{keys} {[value_of(redis, key) for key in keys]}"


async def test_a_booking_consumes_the_hold(short: HttpCaller, redis: Redis) -> None:
    """Once its holder has booked, nothing of the hold is left."""
    body = fresh("Ada")
    await short.hold(body)
    assert (await short.book(body)).status == 201
    await asyncio.to_thread(wait_until, lambda: keys_of(redis, body["site"]) == [], "nothing is left")


async def test_a_booked_slot_is_not_left_with_a_hold(short: HttpCaller, redis: Redis) -> None:
    """A hold that is refused because the slot is booked leaves no key."""
    body = fresh("Ada")
    assert (await short.book(body)).status == 201
    assert (await short.hold(body)).error == "Slot already booked"
    await asyncio.to_thread(wait_until, lambda: keys_of(redis, body["site"]) == [], "nothing is left")


async def test_booked_wins_over_held(short: HttpCaller, redis: Redis) -> None:
    """A slot that is booked and, by some accident, held too, is told to be booked."""
    body = fresh("Ada")
    assert (await short.hold(body)).status == 200
    (key,) = (key for key in keys_of(redis, body["site"]) if key.startswith("hold:"))
    value = str(redis.get(key))
    assert (await short.book(body)).status == 201
    redis.set(key, value, px=60_000)
    rival = {**body, "patientName": "Grace"}
    assert (await short.book(rival)).error == "Slot already booked"
    assert (await short.hold(rival)).error == "Slot already booked"


async def test_without_the_hold_check_others_book(servers: Servers) -> None:
    """Control: it is the check that honours a hold. A worker without it books what another holds."""
    with servers.new_stack() as stack:
        stack.start_gateway()
        stack.start("booking_worker", without="no_hold_check")
        stack.start("hold_worker")
        stack.wait_ready()
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
            caller, body = HttpCaller(client), fresh("Ada")
            assert (await caller.hold(body)).status == 200
            assert (await caller.book({**body, "patientName": "Grace"})).status == 201


@pytest.fixture(scope="module")
def breakable(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[EmbeddedRedis, Stack]]:
    """A Redis that the tests may pause and stop, and services on it; each leaves it running."""
    with (
        EmbeddedRedis(tmp_path_factory.mktemp("redis")) as redis,
        servers.new_stack(REDIS_URL=redis.url) as stack,
    ):
        yield redis, stack.up(booking_workers=1)


async def test_without_redis_bookings_go_on(breakable: tuple[EmbeddedRedis, Stack]) -> None:
    """Redis stopped: booking still works and says so in the log; a hold gets 503; readiness names Redis."""
    redis, stack = breakable
    redis.stop()
    try:
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
            caller, body = HttpCaller(client), fresh()
            assert (await caller.book(body)).status == 201
            assert (await caller.book(body)).error == "Slot already booked"
            answer = await caller.hold(fresh())
            assert (answer.status, answer.body["outcome"]) == (503, "not_executed")
            async with asyncio.timeout(20):  # a worker looks every second
                while "ok" in (ready := await client.get("/readyz")).json()["checks"]["booking_worker"]:  # noqa: ASYNC110  # it has no event
                    await asyncio.sleep(0.05)
            assert (ready.status_code, ready.json()["checks"]["booking_worker"]) == (
                200,
                "0 of 1 ready; redis: does not answer",
            )
        assert '"holds_unreachable"' in stack.workers("booking_worker")[0].log
    finally:
        redis.start()


async def test_a_redis_that_hangs_keeps_nobody_from_booking(breakable: tuple[EmbeddedRedis, Stack]) -> None:
    """With Redis paused a booking is made while its caller waits, and a hold is honestly not."""
    redis, stack = breakable
    await asyncio.to_thread(stack.wait_ready)
    async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
        caller, body = HttpCaller(client), fresh()
        redis.pause()
        try:
            assert (await caller.book(body)).status == 201
            assert (await caller.book(body)).error == "Slot already booked"
            answer = await caller.hold(fresh())
            assert (answer.status, answer.body["outcome"]) == (503, "not_executed")
            ready = await client.get("/readyz")
            assert ready.json()["checks"]["hold_worker"] == "0 of 1 ready; redis: does not answer"
        finally:
            redis.resume()


async def hold_while_booking(servers: Servers, without: str) -> tuple[Answer, Answer]:
    """Hold a slot for one patient while another's booking has passed the holds and is not inserted yet."""
    with servers.new_stack() as stack:
        stack.start("booking_worker", without="slow_store")
        stack.start("hold_worker", without=without)
        stack.wait_serving()
        connection = await nats.connect(stack.env["NATS_URL"])
        caller, body = NatsCaller(connection), fresh("Ada")
        booking = asyncio.create_task(caller.book(body, Deadline=str(Deadline.after(15).unix_ms)))
        with Redis.from_url(stack.env["REDIS_URL"], decode_responses=True) as redis:
            await asyncio.to_thread(
                wait_until, lambda: bool(keys_of(redis, body["site"])), "the booking is under way"
            )
        hold = await caller.ask("hold", {**body, "patientName": "Grace"})  # one attempt
        answers = await booking, hold
        await connection.close()
        return answers


async def test_a_hold_is_refused_at_once_while_its_slot_is_being_booked(servers: Servers) -> None:
    """A hold is not granted on a slot whose booking is under way and succeeds; it may be repeated soon."""
    booking, hold = await hold_while_booking(servers, without="")
    assert (booking.status, hold.status, hold.headers["error-type"]) == (201, 503, "BeingBooked")
    assert hold.headers["retry-after"] == "1"


async def test_without_intents_both_are_granted(servers: Servers) -> None:
    """Control: a hold that looks for no intent is granted, and then broken by the booking."""
    booking, hold = await hold_while_booking(servers, without="no_intents")
    assert (booking.status, hold.status) == (201, 200)
