"""Connections to NATS that are closed for good, whatever the number of attempts to connect again."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest
import structlog

from deploy.local.servers import Nats
from shared.process.nats_options import NatsOptions


class Strict(Nats):
    """A NATS that lets a connection have one subscription, and answers one more with an error."""

    def options(self, port: int) -> list[str]:
        config = self.data_dir / "strict.conf"
        config.write_text("max_subscriptions: 1")
        return [*super().options(port), "-c", str(config)]


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
