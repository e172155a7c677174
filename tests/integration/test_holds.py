"""Holds: how long they last, which keys they leave, and what happens without Redis."""

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
    """Start services whose holds last 4 s, and at most 5 s with extensions."""
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
    """Read a key: a string or a sorted set."""
    return (
        redis.get(key)
        if key.startswith(("hold:", "released:"))
        else redis.zrange(key, 0, -1, withscores=True)
    )


async def test_message_of_a_hold_has_its_duration(short: HttpCaller) -> None:
    """The message of a hold names the hold's real duration."""
    assert (await short.hold(fresh())).body["message"] == "Slot held for 4 seconds"


async def test_hold_expires(short: HttpCaller, redis: Redis) -> None:
    """A hold that is not used frees its slot when it expires."""
    body = fresh("Ada")
    await short.hold(body)
    rival = {**body, "patientName": "Grace"}
    assert (await short.book(rival)).error == HELD
    wait_until(lambda: not keys_of(redis, body["site"]), "the hold has expired", 10)
    assert (await short.book(rival)).status == 201


async def test_extended_hold_is_capped(short: HttpCaller) -> None:
    """However often a hold is extended, it ends HOLD_MAX_SECONDS after it was first placed."""
    body = fresh(holdToken=str(uuid4()))
    ends: list[datetime] = []
    while not ends or ends.count(ends[-1]) < 2:
        answer = await short.hold(body)
        ends.append(datetime.fromisoformat(answer.body["hold"]["expiresAt"]))
        assert ends[-1] - ends[0] <= timedelta(seconds=1)
    assert ends == sorted(ends)
    assert ends[-1] - ends[0] == timedelta(seconds=1)


async def test_every_key_has_a_ttl(short: HttpCaller, redis: Redis) -> None:
    """Every key in Redis has a TTL, and no key or value has a patient's name."""
    body = fresh("Zebra Canary")
    await short.hold(body)
    keys = keys_of(redis, body["site"])
    assert keys
    assert all(redis.pttl(key) > 0 for key in keys)
    assert "Zebra" not in f"{keys} {[value_of(redis, key) for key in keys]}"


async def test_booking_consumes_the_hold(short: HttpCaller, redis: Redis) -> None:
    """Once its holder has booked, no key of the hold is left."""
    body = fresh("Ada")
    await short.hold(body)
    assert (await short.book(body)).status == 201
    await asyncio.to_thread(wait_until, lambda: keys_of(redis, body["site"]) == [], "no key is left")


async def test_refused_hold_of_a_booked_slot_leaves_no_key(short: HttpCaller, redis: Redis) -> None:
    """A hold that is refused because its slot is booked leaves no key."""
    body = fresh("Ada")
    assert (await short.book(body)).status == 201
    assert (await short.hold(body)).error == "Slot already booked"
    await asyncio.to_thread(wait_until, lambda: keys_of(redis, body["site"]) == [], "no key is left")


async def test_booked_wins_over_held(short: HttpCaller, redis: Redis) -> None:
    """A slot that is booked and, by accident, also held is refused as booked."""
    body = fresh("Ada")
    assert (await short.hold(body)).status == 200
    (key,) = (key for key in keys_of(redis, body["site"]) if key.startswith("hold:"))
    value = str(redis.get(key))
    assert (await short.book(body)).status == 201
    redis.set(key, value, px=60_000)
    rival = {**body, "patientName": "Grace"}
    assert (await short.book(rival)).error == "Slot already booked"
    assert (await short.hold(rival)).error == "Slot already booked"


async def test_without_the_hold_check_another_patient_books(servers: Servers) -> None:
    """Control: a worker without the hold check books a slot that another patient holds."""
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
    """A Redis that tests pause and stop, with services on it; every test leaves it running."""
    with (
        EmbeddedRedis(tmp_path_factory.mktemp("redis")) as redis,
        servers.new_stack(REDIS_URL=redis.url) as stack,
    ):
        yield redis, stack.up(booking_workers=1)


async def test_without_redis_bookings_go_on(breakable: tuple[EmbeddedRedis, Stack]) -> None:
    """Without Redis a booking succeeds and is logged, a hold is 503, and readiness names Redis."""
    redis, stack = breakable
    redis.stop()
    try:
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
            caller, body = HttpCaller(client), fresh()
            assert (await caller.book(body)).status == 201
            assert (await caller.book(body)).error == "Slot already booked"
            answer = await caller.hold(fresh())
            assert (answer.status, answer.body["outcome"]) == (503, "not_executed")
            async with asyncio.timeout(20):  # a worker checks every second
                while "ok" in (ready := await client.get("/readyz")).json()["checks"]["booking_worker"]:  # noqa: ASYNC110  # no event marks it
                    await asyncio.sleep(0.05)
            assert (ready.status_code, ready.json()["checks"]["booking_worker"]) == (
                200,
                "0 of 1 ready; redis: does not answer",
            )
        assert '"holds_unreachable"' in stack.workers("booking_worker")[0].log
    finally:
        redis.start()


async def test_paused_redis_does_not_block_bookings(breakable: tuple[EmbeddedRedis, Stack]) -> None:
    """With Redis paused a booking succeeds before its deadline, and a hold is 503, not executed."""
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
    """Hold a slot while another patient's booking has passed the hold check and is not inserted yet."""
    with servers.new_stack() as stack:
        stack.start("booking_worker", without="slow_store")
        stack.start("hold_worker", without=without)
        stack.wait_serving()
        connection = await nats.connect(stack.env["NATS_URL"])
        caller, body = NatsCaller(connection), fresh("Ada")
        booking = asyncio.create_task(caller.book(body, Deadline=str(Deadline.after(15).unix_ms)))
        with Redis.from_url(stack.env["REDIS_URL"], decode_responses=True) as redis:
            await asyncio.to_thread(
                wait_until, lambda: bool(keys_of(redis, body["site"])), "the booking is in progress"
            )
        hold = await caller.ask("hold", {**body, "patientName": "Grace"})  # without retries
        answers = await booking, hold
        await connection.close()
        return answers


async def test_hold_is_refused_while_its_slot_is_being_booked(servers: Servers) -> None:
    """A hold on a slot whose booking is in progress gets BeingBooked at once, with `Retry-After: 1`."""
    booking, hold = await hold_while_booking(servers, without="")
    assert (booking.status, hold.status, hold.headers["error-type"]) == (201, 503, "BeingBooked")
    assert hold.headers["retry-after"] == "1"


async def test_without_intents_hold_and_booking_both_succeed(servers: Servers) -> None:
    """Control: a hold that ignores intents is granted, and then broken by the booking."""
    booking, hold = await hold_while_booking(servers, without="no_intents")
    assert (booking.status, hold.status) == (201, 200)
