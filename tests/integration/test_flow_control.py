"""The credit that a worker gives NATS, on a real connection."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from deploy.local.nats import Nats
from shared.process import nats_wire
from shared.process.nats_wire import round_trip
from shared.worker import flow_control
from shared.worker.flow_control import FlowControl
from shared.worker.in_flight import MOST_IN_FLIGHT, InFlightCommands
from tests.integration.breakable import until

SUBJECT = "test.v1.take"


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[Nats]:
    with Nats(tmp_path) as server:
        yield server


class Subscriber:
    """Takes messages as fast as `gate` lets it, and has nothing in flight."""

    def __init__(self) -> None:
        self.subscription: Subscription | None = None
        self.in_flight = InFlightCommands()
        self.control = FlowControl(self, self.in_flight)
        self.gate = asyncio.Event()
        self.gate.set()
        self.taken = 0

    async def consume(self, _message: Msg) -> None:
        assert self.control.admit()
        self.taken += 1
        await self.gate.wait()

    async def lost(self) -> None:
        self.control.connection_lost()


@asynccontextmanager
async def connected(server: Nats, subscriber: Subscriber) -> AsyncIterator[Client]:
    """The connection of a subscriber whose flow control runs."""
    options = {"max_reconnect_attempts": -1, "reconnect_time_wait": 0.05, "disconnected_cb": subscriber.lost}
    async with await nats.connect(server.url, **options) as connection:
        subscriber.subscription = await connection.subscribe(SUBJECT, cb=subscriber.consume)
        running = asyncio.create_task(subscriber.control.run())
        yield connection
        running.cancel()


async def test_a_worker_that_nats_has_left_without_a_word_is_found_again(
    nats_server: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where NATS met a limit just before it was raised, it sends nothing more: subscribe again when idle."""
    monkeypatch.setattr(flow_control, "IDLE_SECONDS", 0.05)
    subscriber = Subscriber()
    async with connected(nats_server, subscriber) as connection:
        await connection.publish(SUBJECT)
        await until(lambda: subscriber.taken == 1, "the first is taken")
        assert subscriber.subscription is not None
        await nats_wire.unsubscribe(subscriber.subscription)  # as NATS does by itself at the limit
        async with asyncio.timeout(20):
            while subscriber.taken == 1:
                await connection.publish(SUBJECT)
                await round_trip(connection)


@pytest.mark.parametrize("flood", [400, 1500])
async def test_a_flood_on_a_new_connection_leaves_no_worker_deaf(
    nats_server: Nats, monkeypatch: pytest.MonkeyPatch, flood: int
) -> None:
    """Many messages come on a new connection before the first of them is looked at: more come after them."""
    monkeypatch.setattr(flow_control, "IDLE_SECONDS", 1000)
    subscriber = Subscriber()
    async with connected(nats_server, subscriber) as connection:
        subscriber.gate.clear()
        await connection.publish(SUBJECT)
        await until(lambda: subscriber.taken == 1, "the first is in flight")
        nats_server.kill()
        nats_server.start()
        await until(lambda: connection.stats["reconnects"] == 1, "it is back")
        for _ in range(flood):
            await connection.publish(SUBJECT)
        subscription = subscriber.subscription
        assert subscription is not None
        await until(lambda: subscription.delivered == flood + 1, "all of it has come")
        subscriber.gate.set()
        await until(lambda: subscriber.taken == flood + 1, "all of it is taken")
        async with asyncio.timeout(20):
            while subscriber.taken < flood + 1000:
                await connection.publish(SUBJECT)
                await round_trip(connection)


async def test_a_subscription_that_was_idle_in_an_overload_is_not_lost(
    nats_server: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where other subjects fill a worker, it keeps a little credit for an idle one, and hears it later."""
    monkeypatch.setattr(flow_control, "IDLE_SECONDS", 1000)
    subscriber = Subscriber()
    async with connected(nats_server, subscriber) as connection:
        await connection.publish(SUBJECT)
        await until(lambda: subscriber.taken == 1, "the first is taken")
        for _ in range(MOST_IN_FLIGHT):
            subscriber.in_flight.begin(asyncio.sleep(0))  # others' commands, not decided yet
        for _ in range(2):  # from the second on it is idle
            await subscriber.control._look_while_idle()
        for _ in range(MOST_IN_FLIGHT):
            subscriber.in_flight.decided(1)
        async with asyncio.timeout(20):
            while subscriber.taken == 1:
                await connection.publish(SUBJECT)
                await round_trip(connection)
