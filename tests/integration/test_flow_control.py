"""The credit that a worker grants NATS, on a real connection."""

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
    """Takes messages while `gate` is open; no command is in flight."""

    def __init__(self) -> None:
        self.subscription: Subscription | None = None
        self.in_flight = InFlightCommands()
        self.control = FlowControl("test", self, self.in_flight)
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
    """Connect a subscriber and run its flow control."""
    options = {"max_reconnect_attempts": -1, "reconnect_time_wait": 0.05, "disconnected_cb": subscriber.lost}
    async with await nats.connect(server.url, **options) as connection:
        subscriber.subscription = await connection.subscribe(SUBJECT, cb=subscriber.consume)
        running = asyncio.create_task(subscriber.control.run())
        yield connection
        running.cancel()


async def test_idle_worker_subscribes_again_after_a_silent_unsubscribe(
    nats_server: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If NATS met a limit just before it was raised, it stays silent: an idle worker subscribes again."""
    monkeypatch.setattr(flow_control, "IDLE_SECONDS", 0.05)
    subscriber = Subscriber()
    async with connected(nats_server, subscriber) as connection:
        await connection.publish(SUBJECT)
        await until(lambda: subscriber.taken == 1, "the first message is handled")
        assert subscriber.subscription is not None
        await nats_wire.unsubscribe(subscriber.subscription)  # as NATS itself does at the limit
        async with asyncio.timeout(20):
            while subscriber.taken == 1:
                await connection.publish(SUBJECT)
                await round_trip(connection)


@pytest.mark.parametrize("flood", [400, 1500])
async def test_flood_after_a_reconnect_does_not_exhaust_the_credit(
    nats_server: Nats, monkeypatch: pytest.MonkeyPatch, flood: int
) -> None:
    """After a flood that arrives before its first message is handled, messages still arrive."""
    monkeypatch.setattr(flow_control, "IDLE_SECONDS", 1000)
    subscriber = Subscriber()
    async with connected(nats_server, subscriber) as connection:
        subscriber.gate.clear()
        await connection.publish(SUBJECT)
        await until(lambda: subscriber.taken == 1, "the first message is in flight")
        nats_server.kill()
        nats_server.start()
        await until(lambda: connection.stats["reconnects"] == 1, "the client has reconnected")
        for _ in range(flood):
            await connection.publish(SUBJECT)
        subscription = subscriber.subscription
        assert subscription is not None
        await until(lambda: subscription.delivered == flood + 1, "the flood has arrived")
        subscriber.gate.set()
        await until(lambda: subscriber.taken == flood + 1, "the flood is handled")
        async with asyncio.timeout(20):
            while subscriber.taken < flood + 1000:
                await connection.publish(SUBJECT)
                await round_trip(connection)


async def test_idle_subscription_survives_an_overload(
    nats_server: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While other subjects fill a worker, an idle subscription keeps some credit: messages still arrive."""
    monkeypatch.setattr(flow_control, "IDLE_SECONDS", 1000)
    subscriber = Subscriber()
    async with connected(nats_server, subscriber) as connection:
        await connection.publish(SUBJECT)
        await until(lambda: subscriber.taken == 1, "the first message is handled")
        for _ in range(MOST_IN_FLIGHT):
            subscriber.in_flight.begin(asyncio.sleep(0))  # undecided commands of other subjects
        for _ in range(2):  # from the second look on, it is idle
            await subscriber.control._look_while_idle()
        for _ in range(MOST_IN_FLIGHT):
            subscriber.in_flight.decided(1)
        async with asyncio.timeout(20):
            while subscriber.taken == 1:
                await connection.publish(SUBJECT)
                await round_trip(connection)
