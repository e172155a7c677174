"""Without Redis, hold workers leave their subjects, and booking workers keep serving."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import nats
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from deploy.local.ports import free_port
from deploy.local.redis import Redis as EmbeddedRedis
from tests.callers import NatsCaller
from tests.integration.breakable import LINK, http_caller, proxy, start_gateway, until
from tests.integration.test_sick_workers import CUT, STALLED, answered, gateway_log
from tests.proof.faults.proxy import Proxy
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Service, Stack

PLACE = "hold.v1.place_many"
NO_HOLDS = {"error": "Holds are not available at the moment; nothing was done", "outcome": "not_executed"}
HOLDS = 40
TOKEN = "6f1c1f8e-0000-4000-8000-000000000000"


@pytest.fixture
def stack(servers: Servers) -> Iterator[Stack]:
    with servers.new_stack() as stack:
        yield stack


@asynccontextmanager
async def breakable_redis(stack: Stack) -> AsyncIterator[tuple[Proxy, str]]:
    """Start a proxy to the stack's Redis; yield it and the URL through it."""
    direct = urlsplit(stack.env["REDIS_URL"])
    async with proxy() as links:
        gate = await links.listen(LINK, direct.port or 6379)
        yield links, direct._replace(netloc=f"127.0.0.1:{gate}").geturl()


def has_left(worker: Service) -> bool:
    return '"subject_left"' in worker.log


@pytest.mark.parametrize("rule", [CUT, STALLED], ids=["cut", "stalled"])
async def test_no_hold_fails_if_one_of_two_hold_workers_loses_redis(stack: Stack, rule: object) -> None:
    """If one of two hold workers loses Redis, every hold and release gets 200, and the worker rejoins."""
    async with breakable_redis(stack) as (links, url):
        sick = stack.start("hold_worker", REDIS_URL=url)
        stack.start("hold_worker")
        stack.start("booking_worker")
        stack.start_gateway()
        await asyncio.to_thread(stack.wait_ready)
        async with http_caller(stack) as caller:
            before = await caller.hold(fresh())
            links.impose(rule)  # type: ignore[arg-type]
            holds = [before, *[await caller.hold(fresh()) for _ in range(HOLDS)]]
            assert [answer.status for answer in holds] == [200] * (1 + HOLDS)
            released = [
                await caller.ask(
                    "release", {"holdToken": hold.body["hold"]["token"], "site": hold.body["hold"]["site"]}
                )
                for hold in holds
            ]
            assert [answer.status for answer in released] == [200] * (1 + HOLDS)
            await until(lambda: has_left(sick), "the worker leaves")
            links.lift(rule)  # type: ignore[arg-type]
            await until(lambda: '"subject_joined"' in sick.log, "the worker rejoins")
            placed = answered(sick, PLACE)
            for _ in range(200):
                assert (await caller.hold(fresh())).status == 200
                if answered(sick, PLACE) > placed:
                    break
            assert answered(sick, PLACE) > placed


async def test_without_leaving_holds_fail_if_one_worker_loses_redis(stack: Stack) -> None:
    """Control: a hold worker without Redis that stays in the queue group refuses its share of holds."""
    async with breakable_redis(stack) as (links, url):
        stack.start("hold_worker", without="no_leaving", REDIS_URL=url)
        stack.start("hold_worker")
        await asyncio.to_thread(stack.wait_serving)
        links.impose(CUT)
        async with await nats.connect(stack.env["NATS_URL"]) as connection:
            caller = NatsCaller(connection)
            answers = [await caller.hold(fresh()) for _ in range(HOLDS)]
    assert {(answer.status, answer.error) for answer in answers if answer.status != 200} == {
        (503, NO_HOLDS["error"])
    }


async def test_without_redis_holds_are_refused_at_once_and_bookings_succeed(
    servers: Servers, tmp_path: Path
) -> None:
    """Without Redis a hold gets one attempt and HoldsUnreachable, and bookings succeed."""
    with EmbeddedRedis(tmp_path) as redis, servers.new_stack(REDIS_URL=redis.url) as stack:
        start_gateway(stack, HEALTH_PORT=str(health := free_port()))
        booking = stack.start("booking_worker")
        holding = [stack.start("hold_worker") for _ in range(2)]
        await asyncio.to_thread(stack.wait_ready)
        async with http_caller(stack) as caller:
            redis.kill()
            await caller.hold(fresh())
            await until(
                lambda: all(worker.log.count('"subject_left"') == 3 for worker in holding),
                "the hold workers leave",
            )
            lines, attempts = len(gateway_log(stack)), attempts_of(health)
            answers = await asyncio.gather(*(caller.hold(fresh()) for _ in range(50)))
            answers += [await caller.ask("release", {"holdToken": TOKEN})]
            assert [answer.body for answer in answers] == [NO_HOLDS] * 51
            assert {answer.headers["error-type"] for answer in answers} == {"HoldsUnreachable"}
            assert max(line["ms"] for line in gateway_log(stack)[lines:] if "ms" in line) < 1000
            assert attempts_of(health) - attempts == 51
            assert (await caller.book(fresh())).status == 201
            assert not has_left(booking)
            await asyncio.to_thread(redis.start)
            await until(
                lambda: all('"subject_joined"' in worker.log for worker in holding), "the hold workers rejoin"
            )
            assert (await caller.hold(fresh())).status == 200


def attempts_of(health: int) -> float:
    """Return the number of attempts to hold or release that the gateway has sent."""
    text = httpx.get(f"http://127.0.0.1:{health}/metrics").text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "booking_client_attempts_total" and sample.labels["subject"].startswith("hold.")
    )


async def test_a_late_redis_answer_makes_no_worker_leave(servers: Servers, tmp_path: Path) -> None:
    """A hold that Redis answers too late gets 503, but a worker whose Redis answers PING stays."""
    with EmbeddedRedis(tmp_path) as server, servers.new_stack(REDIS_URL=server.url) as stack:
        worker = stack.start("hold_worker")
        await asyncio.to_thread(stack.wait_serving)
        async with (
            await nats.connect(stack.env["NATS_URL"]) as connection,
            Redis.from_url(server.url) as redis,
        ):
            caller = NatsCaller(connection)
            await redis.client_pause(60_000, all=False)  # writes alone, which includes scripts
            assert (await caller.hold(fresh())).status == 503
            await redis.client_unpause()
            assert (await caller.hold(fresh())).status == 200
        assert not has_left(worker)
