"""Workers verify the indexes and the grid before they serve, and watch the indexes while they serve."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from deploy.local.ports import free_port
from tests.callers import HttpCaller
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Stack, wait_until

CLAIM_INDEX = "one_booking_per_claim"


@pytest.fixture
def stack(servers: Servers) -> Iterator[Stack]:
    """Make a stack with its own database, and without processes."""
    with servers.new_stack() as stack:
        yield stack


@pytest.fixture
def appointments(stack: Stack) -> Iterator[Collection[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](stack.env["MONGO_URI"]) as client:
        yield client.get_default_database()["appointments"]


async def test_a_worker_creates_the_indexes(stack: Stack, appointments: Collection[dict[str, Any]]) -> None:
    """The first worker on an empty database creates both unique indexes, exactly as designed."""
    stack.start("booking_worker")
    stack.wait_serving()
    indexes = appointments.index_information()
    slot, key = indexes[CLAIM_INDEX], indexes["one_booking_per_key"]
    assert slot["unique"]
    assert key["unique"]
    assert slot["key"] == [("site", 1), ("claims", 1)]
    assert slot["partialFilterExpression"] == {"status": "booked"}
    assert key["key"] == [("site", 1), ("idempotencyKey", 1)]


async def test_an_index_with_other_options_stops_the_worker(
    stack: Stack, appointments: Collection[dict[str, Any]]
) -> None:
    """If the index of claims is not unique, workers exit with 1 and one line that names it."""
    appointments.create_index([("site", 1), ("claims", 1)], name=CLAIM_INDEX)
    for module in ("booking_worker", "hold_worker"):
        worker = stack.start(module)
        assert worker.wait() == 1
        assert CLAIM_INDEX in worker.log.splitlines()[-1]


async def test_another_grid_stops_the_worker(stack: Stack) -> None:
    """A worker whose SLOT_MINUTES differs from the database's grid refuses to start."""
    stack.start("booking_worker")
    stack.wait_serving()
    worker = stack.start("booking_worker", SLOT_MINUTES="15")
    assert worker.wait() == 1
    line = worker.log.splitlines()[-1]
    assert line.startswith("SLOT_MINUTES is 15")
    assert "set SLOT_MINUTES=5" in line


async def test_a_lost_index_is_recreated(stack: Stack, appointments: Collection[dict[str, Any]]) -> None:
    """A unique index that is dropped while a worker serves is recreated."""
    stack.start("booking_worker")
    stack.wait_serving()
    appointments.drop_index(CLAIM_INDEX)
    wait_until(lambda: CLAIM_INDEX in appointments.index_information(), "the index is back")


def status(port: int) -> int:
    """Return the status of `/readyz` of the worker with this health port."""
    return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code


async def test_duplicates_keep_a_worker_from_serving(
    stack: Stack, appointments: Collection[dict[str, Any]]
) -> None:
    """If two bookings share a slot, workers refuse bookings and holds, and log the slot but no name."""
    ports = [free_port(), free_port()]
    worker, _ = (
        stack.start(module, WORKER_HTTP_PORT=str(port))
        for module, port in zip(("booking_worker", "hold_worker"), ports, strict=True)
    )
    stack.start_gateway()
    stack.wait_serving()
    wait_until(lambda: httpx.get(f"{stack.url}/readyz").status_code == 200, "the gateway is ready")
    appointments.drop_index(CLAIM_INDEX)
    booked, cancelled = datetime(2031, 5, 4, 9, tzinfo=UTC), datetime(2032, 5, 4, 9, tzinfo=UTC)
    appointments.insert_many(
        {
            "_id": f"{id} of {slot.year}",
            "site": "s1",
            "resources": ["default"],
            "claims": [f"default/{int(slot.timestamp() * 1000)}"],
            "slot": slot,
            "status": state,
            "idempotencyKey": f"{id} of {slot.year}",
            "patientName": "Zebra Canary",
        }
        for slot, state in ((booked, "booked"), (cancelled, "cancelled"))
        for id in ("a", "b")
    )
    wait_until(lambda: all(status(port) == 503 for port in ports), "no worker is ready")
    async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
        caller = HttpCaller(client)
        for ask in (caller.book, caller.hold):
            answer = await ask(fresh())
            assert (answer.status, answer.body["outcome"]) == (503, "not_executed")
        assert (await client.get("/readyz")).status_code == 503
    wait_until(lambda: "slot_booked_twice" in worker.log, "the log names the slot")
    assert f"default/{int(booked.timestamp() * 1000)}" in worker.log
    assert f"{int(cancelled.timestamp() * 1000)}" not in worker.log, "cancelled bookings have no claims"
    assert "Zebra" not in worker.log
    appointments.delete_one({"_id": "b of 2031"})
    wait_until(lambda: all(status(port) == 200 for port in ports), "both workers are ready again")
    async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
        caller = HttpCaller(client)
        assert (await caller.book(fresh())).status == 201
        assert (await caller.book(fresh(site="s1"))).error == "Slot already booked"


async def test_a_worker_has_its_own_health_port(stack: Stack) -> None:
    """If WORKER_HTTP_PORT is set, a worker of either kind serves `/livez` and `/readyz` there."""
    for module in ("booking_worker", "hold_worker"):
        port = free_port()
        stack.start(module, WORKER_HTTP_PORT=str(port))
        stack.wait_serving()
        assert httpx.get(f"http://127.0.0.1:{port}/livez").status_code == 200
        ready = httpx.get(f"http://127.0.0.1:{port}/readyz")
        assert (ready.status_code, ready.json()["checks"]) == (
            200,
            {"nats": "ok", "mongodb": "ok", "redis": "ok", "clock": "ok"},
        )
