"""Connections to NATS that are closed for good, whatever the number of attempts to connect again."""

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
    """A NATS that lets a connection have one subscription, and answers one more with an error."""

    def options(self, port: int) -> list[str]:
        config = self.data_dir / "strict.conf"
        config.write_text("max_subscriptions: 1")
        return [*super().options(port), "-c", str(config)]


class Shrinking(Nats):
    """A NATS that lets no more than one connection live, once it is told to."""

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


async def test_a_connection_that_is_closed_for_good_is_told_of_once(strict: Nats) -> None:
    """At an error of NATS that it does not know, the client library gives up: whoever uses it is told."""
    closed = list[str]()
    told = asyncio.Event()

    def on_closed() -> None:
        closed.append("closed")
        told.set()

    options = NatsOptions(strict.url, "test", on_closed=on_closed)
    with structlog.testing.capture_logs() as lines:
        connection = await nats.connect(**options.connect)
        for _ in range(2):
            await connection.subscribe("subject")
        async with asyncio.timeout(20):
            await told.wait()
        await connection.close()
    assert closed == ["closed"]
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["nats_closed"]


async def test_a_connection_that_is_meant_to_close_is_not_told_of(strict: Nats) -> None:
    """Who closes a connection need not hear of it."""
    closed = list[str]()
    options = NatsOptions(strict.url, "test", on_closed=lambda: closed.append("closed"))
    with structlog.testing.capture_logs() as lines:
        connection = await nats.connect(**options.connect)
        options.closing = True
        await connection.close()
    assert not closed
    assert not lines


@pytest.mark.parametrize("module", ["booking_worker", "hold_worker"])
async def test_a_worker_that_is_closed_out_of_nats_ends(servers: Servers, strict: Nats, module: str) -> None:
    """A worker without NATS for good ends with an error and says why once, though it has not served yet."""
    with servers.new_stack(NATS_URL=strict.url) as stack:
        worker = stack.start(module)
        assert await asyncio.to_thread(worker.wait) == 1
        assert worker.log.count('"level": "error"') == 1
        assert "nats_closed" in worker.log
        assert "Traceback" not in worker.log


async def test_a_serving_worker_that_is_closed_out_of_nats_ends(
    servers: Servers, shrinking: Shrinking
) -> None:
    """Of two workers NATS lets one stay: the other ends with an error, and says why once."""
    with servers.new_stack(NATS_URL=shrinking.url) as stack:
        workers = [stack.start("booking_worker") for _ in range(2)]
        await asyncio.to_thread(stack.wait_serving)
        shrinking.shrink()
        await until(lambda: any(worker.process.poll() is not None for worker in workers), "one has ended")
        (ended,) = (worker for worker in workers if worker.process.poll() is not None)
        assert ended.process.returncode == 1
        assert ended.log.count('"level": "error"') == 1
        assert "nats_closed" in ended.log
        assert "Traceback" not in ended.log
