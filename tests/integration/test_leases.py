"""Leases: the grid changes only while no worker runs, and a worker that was paused writes nothing after."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from shared.stores.mongo.leases import LEASE_SECONDS
from shared.stores.mongo.schema import VALID_SECONDS
from tests.integration.breakable import until
from tests.integration.regridding import Old, data_of
from tests.servers import Servers
from tests.stack import Service

SLOT = "2031-05-04T09:05:00Z"


@pytest.fixture
async def old(servers: Servers) -> AsyncIterator[Old]:
    """Data on a grid of five minutes."""
    async with data_of(servers, 5) as old:
        yield old


async def started(old: Old, kind: str, *, without: str = "") -> Service:
    worker = old.stack.start(kind, without=without)
    await asyncio.to_thread(old.stack.wait_serving)
    return worker


async def leases(old: Old) -> list[str]:
    (meta,) = await old.database["meta"].find().to_list(None)
    return [lease["process"] for lease in meta.get("leases", [])]


def test_a_lease_outlives_the_last_check_of_the_schema() -> None:
    """A worker that cannot renew its lease stops writing before the lease ends."""
    assert LEASE_SECONDS > VALID_SECONDS


@pytest.mark.parametrize("kind", ["booking_worker", "hold_worker"])
async def test_a_running_worker_prevents_a_change_of_the_grid(old: Old, kind: str) -> None:
    """A change of the grid is refused while a worker of either kind runs, and succeeds once it stops."""
    worker = await started(old, kind)
    before = await old.everything()
    refused = await old.regrid("--minutes", "15")
    assert (refused.code, f"pid {worker.pid} on" in refused.output) == (1, True)
    assert (await old.regrid("--minutes", "15", "--dry-run")).code == 0
    assert await old.everything() == before
    worker.send(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait) == 0
    assert await leases(old) == []
    assert (await old.regrid("--minutes", "15")).code == 0


async def test_a_lease_is_renewed_while_a_worker_runs(old: Old) -> None:
    """Every worker process has a lease, which it renews as long as it runs."""
    workers = [await started(old, kind) for kind in ("booking_worker", "hold_worker")]
    await asyncio.sleep(LEASE_SECONDS + 2)
    refused = await old.regrid("--minutes", "15")
    assert all(f"pid {worker.pid} on" in refused.output for worker in workers)
    assert len(await leases(old)) == len(workers)


async def test_a_killed_workers_lease_expires(old: Old) -> None:
    """A killed worker's lease prevents a change of the grid until it ends; the next worker removes it."""
    killed = await started(old, "booking_worker")
    killed.kill()
    old.stack.services.remove(killed)
    since = time.monotonic()
    refused = await old.regrid("--minutes", "15")
    assert (refused.code, f"pid {killed.pid} on" in refused.output) == (1, True)
    while (ended := await old.regrid("--minutes", "15")).code:
        assert f"pid {killed.pid} on" in ended.output
        assert time.monotonic() - since < LEASE_SECONDS + 20
    old.stack.start("booking_worker", SLOT_MINUTES="15")
    await asyncio.to_thread(old.stack.wait_serving)
    assert len(await leases(old)) == 1


async def test_a_worker_with_another_grid_takes_no_lease(old: Old) -> None:
    """A worker that refuses to start leaves no lease that would prevent a change of the grid."""
    worker = old.stack.start("booking_worker", SLOT_MINUTES="60")
    assert await asyncio.to_thread(worker.wait) == 1
    assert await leases(old) == []


async def book_with_a_paused_worker(old: Old, connection: Client, *module: str) -> tuple[Msg, str]:
    """Pause a worker before its insert, change the grid once its lease has ended, and resume the worker."""
    worker = await started(old, "booking_worker", without="sluggish_store")
    key = str(uuid4())
    body: dict[str, Any] = {"slot": SLOT, "patientName": "Ada", "site": "s1", "idempotencyKey": key}
    headers = {"Deadline": str(int((time.time() + 30) * 1000))}
    asked = asyncio.create_task(
        connection.request("booking.v1.book", json.dumps(body).encode(), timeout=60, headers=headers)
    )
    await until(lambda: '"insert_delayed"' in worker.log, "the worker is about to insert")
    worker.send(signal.SIGSTOP)
    try:
        while (
            ended := await old.regrid("--minutes", "15", module=module or ("booking_worker.regrid",))
        ).code:
            assert f"pid {worker.pid} on" in ended.output
    finally:
        worker.send(signal.SIGCONT)
    return await asked, key


@pytest.fixture
async def connection(old: Old) -> AsyncIterator[Client]:
    connection = await nats.connect(old.stack.env["NATS_URL"])
    yield connection
    await connection.close()


async def test_a_paused_worker_books_nothing_on_the_old_grid(old: Old, connection: Client) -> None:
    """The insert that a paused worker sends after a change of the grid fails in MongoDB, and gets 503."""
    answer, key = await book_with_a_paused_worker(old, connection)
    reply = json.loads(answer.data)
    assert (reply["status"], reply["body"]["outcome"]) == (503, "not_executed")
    assert await old.rows.find_one({"idempotencyKey": key}) is None
    (paused,) = old.stack.services
    await until(lambda: '"database_not_ready"' in paused.log, "the worker finds that it may not serve")
    assert await leases(old) == []
    await until(lambda: '"subject_left"' in paused.log, "the worker has left the queue group of its commands")
    body = {"slot": SLOT, "patientName": "Ada", "site": "s1", "idempotencyKey": str(uuid4())}
    with pytest.raises(NoRespondersError):
        await connection.request("booking.v1.book", json.dumps(body).encode(), timeout=30)


async def test_without_the_validator_a_paused_worker_books_on_the_old_grid(
    old: Old, connection: Client
) -> None:
    """Control: if the change sets no validator, the late insert succeeds with claims of the old grid."""
    _, key = await book_with_a_paused_worker(
        old, connection, "tests.integration.dying_regrid", "no:admit_only"
    )
    row = await old.rows.find_one({"idempotencyKey": key})
    assert row
    assert row["slotMinutes"] == 5
