"""While NATS is down or loses replies, every caller gets a true outcome."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.local.nats import Nats
from tests.callers import Answer
from tests.integration.breakable import (
    LINK,
    REPLIES_LOST,
    count_rows,
    http_caller,
    proxy,
    start_gateway,
    until,
)
from tests.integration.test_closed_connections import Strict
from tests.servers import Servers
from tests.slots import fresh


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[Nats]:
    """Start a NATS that a test may stop, and restart on the same port."""
    with Nats(tmp_path) as server:
        yield server


async def book_without_nats(
    servers: Servers, nats_server: Nats, *, timeout: float, gateway: str = "", worker: str = ""
) -> tuple[Answer, float, Answer]:
    """Book while NATS is down and, once it is back, book the same slot for a rival.

    Return the first answer, the seconds it took, and the rival's answer. The gateway sends commands that it
    has buffered before the rival's command, on the same connection.
    """
    env = {"NATS_URL": nats_server.url, "REQUEST_TIMEOUT_SECONDS": str(timeout)}
    with servers.new_stack(**env) as stack:
        booking_worker = stack.start("booking_worker", without=worker)
        stack.start("hold_worker")
        serving = start_gateway(stack, without=gateway)
        stack.wait_ready()
        nats_server.kill()
        await until(lambda: "nats_disconnected" in serving.log, "the gateway notices")
        async with http_caller(stack) as caller:
            body = fresh("Ada")
            started = time.monotonic()
            answer = await caller.book(body)
            took = time.monotonic() - started
            # A buffered command reaches the worker only if the worker reconnects before the gateway.
            serving.send(signal.SIGSTOP)
            nats_server.start()
            await until(lambda: "nats_reconnected" in booking_worker.log, "the worker is back")
            serving.send(signal.SIGCONT)
            stack.wait_ready()
            return answer, took, await caller.book({**body, "patientName": "Grace"})


async def test_without_nats_a_booking_is_refused_in_time(servers: Servers, nats_server: Nats) -> None:
    """While NATS is down a booking gets 503 within its time, and is not made once NATS is back."""
    answer, took, rival = await book_without_nats(servers, nats_server, timeout=3)
    assert (answer.status, answer.body["outcome"]) == (503, "not_executed")
    assert answer.headers["retry-after"] == "1"
    assert took < 3
    assert (rival.status, rival.body["appointment"]["patientName"]) == (201, "Grace")


async def test_without_the_buffer_limit_a_buffered_command_books_late(
    servers: Servers, nats_server: Nats
) -> None:
    """Control: a gateway that buffers commands while NATS is down books the slot after its 504."""
    safeguards = {"gateway": "no_buffer_limit", "worker": "no_deadline"}
    answer, _, rival = await book_without_nats(servers, nats_server, timeout=1, **safeguards)
    assert answer.status == 504
    assert (rival.status, rival.error) == (409, "Slot already booked")


async def lose_the_reply(servers: Servers, without: str) -> tuple[Answer, int, str]:
    """Book, and lose the reply between NATS and the gateway; return answer, number of rows and log."""
    with servers.new_stack(REQUEST_TIMEOUT_SECONDS="3") as stack:
        async with proxy() as links:
            worker = stack.start("booking_worker", without=without)
            stack.start("hold_worker")
            gate = await links.listen(LINK, int(stack.env["NATS_URL"].rpartition(":")[2]))
            gateway = start_gateway(stack, NATS_URL=f"nats://127.0.0.1:{gate}")
            await asyncio.to_thread(stack.wait_ready)
            async with http_caller(stack) as caller:
                body = fresh()
                mine = {"site": body["site"]}
                links.impose(REPLIES_LOST)
                booking = asyncio.create_task(caller.book(body))
                await until(lambda: '"status": 201' in worker.log, "the worker has answered")
                links.lift(REPLIES_LOST)
                return await booking, count_rows(stack, **mine), gateway.log


async def test_a_command_whose_reply_is_lost_is_retried(servers: Servers) -> None:
    """A booking whose reply is lost is retried and made once; its caller gets 201 that is not a replay."""
    answer, rows, log = await lose_the_reply(servers, without="")
    assert (answer.status, rows) == (201, 1)
    assert "idempotency-replayed" not in answer.headers
    assert "attempt_unanswered" in log


async def test_without_the_key_lookup_a_lost_reply_causes_a_false_refusal(servers: Servers) -> None:
    """Control: a worker that does not look for the key refuses the retry of its own booking with 409."""
    answer, rows, _ = await lose_the_reply(servers, without="no_key_lookup")
    assert (answer.status, rows) == (409, 1)


@pytest.mark.parametrize("module", ["booking_worker", "hold_worker"])
async def test_a_worker_can_be_stopped_while_nats_is_down(
    servers: Servers, nats_server: Nats, module: str
) -> None:
    """A worker that gets SIGTERM while it reconnects exits with 0, without a traceback."""
    with servers.new_stack(NATS_URL=nats_server.url) as stack:
        worker = stack.start(module)
        stack.wait_serving()
        nats_server.stop()
        await until(lambda: "nats_disconnected" in worker.log, "the worker notices")
        worker.send(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait) == 0
        assert '"level": "error"' not in worker.log
        assert "Traceback" not in worker.log


async def test_a_gateway_exits_if_nats_closes_its_connection_permanently(
    servers: Servers, tmp_path: Path
) -> None:
    """If NATS closes the gateway's connection permanently, the gateway exits with 1, to be restarted."""
    with Strict(tmp_path) as nats_server, servers.new_stack(NATS_URL=nats_server.url) as stack:
        gateway = start_gateway(stack)
        async with http_caller(stack) as caller:
            await until(lambda: httpx.get(f"{stack.url}/livez").status_code == 200, "the gateway is live")
            # One subscription for each kind of worker is one more than this NATS allows.
            assert (await caller.client.get("/readyz")).status_code == 503
        assert await asyncio.to_thread(gateway.wait) == 1
        assert '"nats_closed"' in gateway.log
        assert "Traceback" not in gateway.log
