"""A worker's own `/readyz`: it is ready while commands come to it, and says what is missing otherwise."""

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
    """A NATS that a test may stop, and start again on the same port."""
    with Nats(tmp_path) as server:
        yield server


@pytest.mark.parametrize("module", ["booking_worker", "hold_worker"])
async def test_a_worker_is_ready_while_it_is_connected_and_subscribed(
    servers: Servers, nats_server: Nats, module: str
) -> None:
    """Before NATS is there, and while it is away, `/readyz` is 503 and names it; then it is 200 again."""
    nats_server.kill()
    port = free_port()

    def ask() -> tuple[int, str]:
        answer = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=10)
        assert set(answer.json()["checks"]) == {"nats", "mongodb", "redis", "clock"}
        return answer.status_code, answer.json()["checks"]["nats"]

    with servers.new_stack(NATS_URL=nats_server.url, WORKER_HTTP_PORT=str(port)) as stack:
        worker = stack.start(module)
        await until(lambda: ask() == (503, "not connected"), "it says what is missing")
        await until(lambda: "nats_unreachable" in worker.log, "all else is there")
        assert ask() == (503, "not connected")
        nats_server.start()
        await until(lambda: ask() == (200, "ok"), "it is ready")
        assert '"serving"' in worker.log
        nats_server.kill()
        await until(lambda: ask() == (503, "not connected"), "it notices")
        nats_server.start()
        await until(lambda: ask() == (200, "ok"), "it is ready again")
        assert await asyncio.to_thread(lambda: httpx.get(f"http://127.0.0.1:{port}/livez").status_code) == 200
