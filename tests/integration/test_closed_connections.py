"""NATS connections that close permanently in spite of unlimited reconnects."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest
import structlog

from deploy.local.nats import Nats
from shared.process.nats_options import NatsOptions
from tests.integration.breakable import until
from tests.servers import Servers


class Strict(Nats):
    """A NATS that allows one subscription a connection, and answers a second one with an error."""

    def options(self, port: int) -> list[str]:
        config = self.data_dir / "strict.conf"
        config.write_text("max_subscriptions: 1")
        return [*super().options(port), "-c", str(config)]


class Shrinking(Nats):
    """A NATS that can be changed to allow a single connection."""

    def options(self, port: int) -> list[str]:
        self._config.write_text("max_connections: 100")
        return [*super().options(port), "-c", str(self._config)]

    def shrink(self) -> None:
        self._config.write_text("max_connections: 1")
        self.send(signal.SIGHUP)

    @property
    def _config(self) -> Path:
        return self.data_dir / "shrinking.conf"


@pytest.fixture
def shrinking(tmp_path: Path) -> Iterator[Shrinking]:
    with Shrinking(tmp_path) as server:
        yield server


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Nats]:
    with Strict(tmp_path) as server:
        yield server


async def test_permanently_closed_connection_is_reported_once(strict: Nats) -> None:
    """At an unknown NATS error nats-py closes permanently: `on_closed` is called once, one line is logged."""
    closed = list[str]()
    reported = asyncio.Event()

    def on_closed() -> None:
        closed.append("closed")
        reported.set()

    options = NatsOptions(strict.url, "test", on_closed=on_closed)
    with structlog.testing.capture_logs() as lines:
        connection = await nats.connect(**options.connect)
        for _ in range(2):
            await connection.subscribe("subject")
        async with asyncio.timeout(20):
            await reported.wait()
        await connection.close()
    assert closed == ["closed"]
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["nats_closed"]


async def test_intended_close_is_not_reported(strict: Nats) -> None:
    """Closing a connection on purpose calls no `on_closed` and logs nothing."""
    closed = list[str]()
    options = NatsOptions(strict.url, "test", on_closed=lambda: closed.append("closed"))
    with structlog.testing.capture_logs() as lines:
        connection = await nats.connect(**options.connect)
        options.closing = True
        await connection.close()
    assert not closed
    assert not lines


@pytest.mark.parametrize("module", ["booking_worker", "hold_worker"])
async def test_starting_worker_without_nats_ends(servers: Servers, strict: Nats, module: str) -> None:
    """A worker whose connection closes permanently at its start exits with 1 and logs the cause once."""
    with servers.new_stack(NATS_URL=strict.url) as stack:
        worker = stack.start(module)
        assert await asyncio.to_thread(worker.wait) == 1
        assert worker.log.count('"level": "error"') == 1
        assert "nats_closed" in worker.log
        assert "Traceback" not in worker.log


async def test_serving_worker_without_nats_ends(servers: Servers, shrinking: Shrinking) -> None:
    """If its connection closes permanently, a serving worker exits with 1 and logs the cause once."""
    with servers.new_stack(NATS_URL=shrinking.url) as stack:
        workers = [stack.start("booking_worker") for _ in range(2)]
        await asyncio.to_thread(stack.wait_serving)
        shrinking.shrink()
        await until(
            lambda: any(worker.process.poll() is not None for worker in workers), "a worker has ended"
        )
        (ended,) = (worker for worker in workers if worker.process.poll() is not None)
        assert ended.process.returncode == 1
        assert ended.log.count('"level": "error"') == 1
        assert "nats_closed" in ended.log
        assert "Traceback" not in ended.log
