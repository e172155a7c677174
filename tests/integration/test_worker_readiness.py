"""A worker's own `/readyz` is 200 only while it can receive commands, and names the missing part."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.local.nats import Nats
from deploy.local.ports import free_port
from tests.integration.breakable import until
from tests.servers import Servers


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[Nats]:
    """Start a NATS that a test may stop, and restart on the same port."""
    with Nats(tmp_path) as server:
        yield server


@pytest.mark.parametrize("module", ["booking_worker", "hold_worker"])
async def test_a_worker_is_ready_while_it_is_connected_and_subscribed(
    servers: Servers, nats_server: Nats, module: str
) -> None:
    """`/readyz` is 503 and names NATS before NATS is up and while it is down, and 200 while connected."""
    nats_server.kill()
    port = free_port()

    def ask() -> tuple[int, str]:
        answer = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=10)
        assert set(answer.json()["checks"]) == {"nats", "mongodb", "redis", "clock"}
        return answer.status_code, answer.json()["checks"]["nats"]

    with servers.new_stack(NATS_URL=nats_server.url, WORKER_HTTP_PORT=str(port)) as stack:
        worker = stack.start(module)
        await until(lambda: ask() == (503, "not connected"), "the worker names NATS")
        await until(lambda: "nats_unreachable" in worker.log, "the worker tries to connect")
        assert ask() == (503, "not connected")
        nats_server.start()
        await until(lambda: ask() == (200, "ok"), "the worker is ready")
        assert '"serving"' in worker.log
        nats_server.kill()
        await until(lambda: ask() == (503, "not connected"), "the worker notices")
        nats_server.start()
        await until(lambda: ask() == (200, "ok"), "the worker is ready again")
        assert await asyncio.to_thread(lambda: httpx.get(f"http://127.0.0.1:{port}/livez").status_code) == 200
