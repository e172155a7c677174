"""A worker that cannot serve leaves its queue groups, so that no command fails, and rejoins later."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import nats
import pytest
from pymongo import MongoClient

from deploy.local.mongod import Mongod
from shared.stores.mongo.clock import measure_skew
from shared.stores.mongo.connection import close, connect
from tests.callers import Answer, HttpCaller, NatsCaller
from tests.faketime import find_faketime
from tests.integration.breakable import LINK, http_caller, proxy, until
from tests.integration.test_lost_index import drop_index
from tests.proof.faults.proxy import LinkRule, Proxy, Way
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Service, Stack

NOT_READY = {"error": "The booking database is not ready; nothing was done", "outcome": "not_executed"}
CUT = LinkRule(frozenset({LINK}), cut=True)
STALLED = LinkRule(frozenset({LINK}), up=Way.STALL, down=Way.STALL)
BOOKINGS = 40
TWIN = "twin"


@pytest.fixture
def stack(servers: Servers) -> Iterator[Stack]:
    with servers.new_stack() as stack:
        yield stack


@asynccontextmanager
async def breakable_mongodb(stack: Stack) -> AsyncIterator[tuple[Proxy, str]]:
    """Start a proxy to the stack's MongoDB; yield it and the URI through it."""
    direct = urlsplit(stack.env["MONGO_URI"])
    async with proxy() as links:
        gate = await links.listen(LINK, direct.port or 27017)
        yield links, f"mongodb://127.0.0.1:{gate}/{Path(direct.path).name}?directConnection=true"


async def up(stack: Stack) -> None:
    stack.start_gateway()
    await asyncio.to_thread(stack.wait_ready)


def readiness(stack: Stack) -> str:
    """Return the gateway's check of the booking workers."""
    check: str = httpx.get(f"{stack.url}/readyz").json()["checks"]["booking_worker"]
    return check


def gateway_log(stack: Stack) -> list[dict[str, Any]]:
    (gateway,) = (service for service in stack.services if service.kind == "gateway")
    return [json.loads(line) for line in gateway.log.splitlines()]


async def book_many(caller: HttpCaller) -> list[Answer]:
    """Book fresh slots one after the other."""
    return [await caller.book(fresh()) for _ in range(BOOKINGS)]


def answered(worker: Service, subject: str = "booking.v1.book_many") -> int:
    return sum(f'"{subject}"' in line and '"answered"' in line for line in worker.log.splitlines())


@pytest.mark.parametrize("rule", [CUT, STALLED], ids=["cut", "stalled"])
async def test_no_command_fails_if_one_of_two_workers_loses_mongodb(stack: Stack, rule: LinkRule) -> None:
    """If one of two workers of each kind loses MongoDB, all commands succeed, and the worker rejoins."""
    async with breakable_mongodb(stack) as (links, uri):
        sick = stack.start("booking_worker", MONGO_URI=uri)
        sick_hold = stack.start("hold_worker", MONGO_URI=uri)
        stack.start("booking_worker")
        stack.start("hold_worker")
        await up(stack)
        async with http_caller(stack) as caller:
            links.impose(rule)
            answers = await book_many(caller)
            assert [answer.status for answer in answers] == [201] * BOOKINGS
            holds = [await caller.hold(fresh()) for _ in range(BOOKINGS)]
            assert [answer.status for answer in holds] == [200] * BOOKINGS
            links.lift(rule)
            for worker, subject in ((sick, "booking.v1.book_many"), (sick_hold, "hold.v1.place_many")):
                await until(lambda w=worker: '"subject_joined"' in w.log, "the worker rejoins")  # type: ignore[misc]
                before = answered(worker, subject)
                for _ in range(200):
                    assert (await caller.book(fresh())).status == 201
                    assert (await caller.hold(fresh())).status == 200
                    if answered(worker, subject) > before:
                        break
                assert answered(worker, subject) > before


async def test_without_leaving_bookings_fail_if_one_worker_loses_mongodb(stack: Stack) -> None:
    """Control: if a worker without MongoDB stays in the queue group, some bookings fail."""
    stack.env["REQUEST_TIMEOUT_SECONDS"] = "1"
    async with breakable_mongodb(stack) as (links, uri):
        stack.start("booking_worker", without="no_leaving", MONGO_URI=uri)
        stack.start("booking_worker")
        stack.start("hold_worker")
        await up(stack)
        async with http_caller(stack) as caller:
            links.impose(CUT)
            statuses = set[int]()
            for _ in range(25):  # by chance all retries of 40 bookings may reach the other worker
                statuses |= {answer.status for answer in await book_many(caller)}
                if statuses & {503, 504}:
                    break
            assert statuses & {503, 504}


async def test_a_worker_with_a_wrong_clock_leaves_unless_it_is_alone(stack: Stack) -> None:
    """A worker whose clock is two seconds ahead leaves commands to another worker, and serves if alone."""
    library = find_faketime()
    if library is None:
        pytest.skip("libfaketime is not installed")
    clock = {"LD_PRELOAD": str(library), "FAKETIME": "+2s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    skewed = stack.start("booking_worker", **clock)
    await asyncio.to_thread(stack.wait_serving)
    correct = stack.start("booking_worker")
    stack.start("hold_worker")
    await up(stack)
    await until(lambda: '"subject_left"' in skewed.log, "the skewed worker leaves")
    async with http_caller(stack) as caller:
        answers = await book_many(caller)
        assert [answer.status for answer in answers] == [201] * BOOKINGS
        await until(
            lambda: "1 of 2 ready; clock: 2.0 s ahead" in readiness(stack), "the gateway reports the clock"
        )
        correct.kill()
        await until(lambda: '"subject_joined"' in skewed.log, "the skewed worker rejoins")
    async with await nats.connect(stack.env["NATS_URL"]) as connection:
        assert (await NatsCaller(connection).book(fresh())).status == 201


@pytest.mark.usefixtures("in_berlin")
async def test_the_time_zone_of_a_host_is_not_skew(servers: Servers) -> None:
    """On a host in another time zone than UTC, the measured skew to MongoDB's clock is no problem."""
    with servers.new_stack() as stack:
        database = connect(stack.env["MONGO_URI"])
        try:
            skew = await measure_skew(database)
        finally:
            close(database)
    assert skew.problem is None


async def test_without_a_ready_worker_the_gateway_names_the_database(
    servers: Servers, tmp_path: Path
) -> None:
    """While MongoDB is down, commands get 503 within a second, which names the database, until it is back."""
    with Mongod(tmp_path) as mongod, servers.new_stack(MONGO_URI=mongod.url) as stack:
        await asyncio.to_thread(stack.up)
        async with http_caller(stack) as caller:
            body = fresh()
            booked = (await caller.book(body)).body["appointment"]["id"]
            mongod.kill()
            await caller.book(fresh())
            await until(
                lambda: all('"subject_left"' in worker.log for worker in stack.workers()), "the workers leave"
            )
            for ask in (caller.book, caller.hold):
                before = len(gateway_log(stack))
                answers = await asyncio.gather(*(ask(fresh()) for _ in range(50)))
                assert max(line["ms"] for line in gateway_log(stack)[before:] if "ms" in line) < 1000
                assert [answer.body for answer in answers] == [NOT_READY] * 50
                assert {answer.headers["error-type"] for answer in answers} == {"NotReady"}
            assert (await caller.get(booked)).body == NOT_READY
            released = await caller.ask("release", {"holdToken": "6f1c1f8e-0000-4000-8000-000000000000"})
            assert released.status in {400, 404}
            await asyncio.to_thread(mongod.start)
            await until(lambda: httpx.get(f"{stack.url}/readyz").status_code == 200, "the workers are ready")
            assert (await caller.book_until_done(fresh())).status == 201
            assert (await caller.hold(fresh())).status == 200
            assert (await caller.get(booked)).status == 200


def insert_twin(stack: Stack, id: str) -> None:
    """Insert another booking of the same claims, so that the index cannot be built."""
    with MongoClient[dict[str, Any]](stack.env["MONGO_URI"]) as client:
        rows = client.get_default_database()["appointments"]
        row = rows.find_one({"_id": id})
        assert row is not None
        rows.insert_one({**row, "_id": TWIN, "idempotencyKey": TWIN})


def delete_twin(stack: Stack) -> None:
    with MongoClient[dict[str, Any]](stack.env["MONGO_URI"]) as client:
        client.get_default_database()["appointments"].delete_one({"_id": TWIN})


async def test_a_worker_without_its_index_serves_reads_alone(stack: Stack) -> None:
    """A worker that cannot recreate a lost unique index leaves its commands, and still serves reads."""
    stack.start("booking_worker")
    stack.start("hold_worker")
    await up(stack)
    async with http_caller(stack) as caller:
        booked = (await caller.book(body := fresh())).body["appointment"]
        drop_index(stack)
        insert_twin(stack, booked["id"])
        await until(lambda: '"subject_left"' in stack.workers("booking")[0].log, "the worker leaves")
        await until(lambda: httpx.get(f"{stack.url}/readyz").status_code == 503, "the gateway is not ready")
        assert (await caller.book(body)).body == NOT_READY
        assert (await caller.get(booked["id"])).status == 200
        delete_twin(stack)
        await until(lambda: httpx.get(f"{stack.url}/readyz").status_code == 200, "the gateway is ready again")
        assert (await caller.book(body)).status == 409


async def test_without_any_worker_the_refusal_is_no_responders(stack: Stack) -> None:
    """Without any worker a booking gets 503 NoResponders after the caller's timeout."""
    stack.env["REQUEST_TIMEOUT_SECONDS"] = "1"
    stack.start_gateway()
    await until(lambda: httpx.get(f"{stack.url}/livez").status_code == 200, "the gateway is live")
    async with http_caller(stack) as caller:
        answer = await caller.book(fresh())
    assert (answer.status, answer.headers["error-type"]) == (503, "NoResponders")
