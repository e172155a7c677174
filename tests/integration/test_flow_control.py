"""The credit that a worker gives NATS, on a real connection."""

import asyncio
from dataclasses import dataclass

import nats
import pytest
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from shared.worker import flow_control
from shared.worker.flow_control import FlowControl
from shared.worker.in_flight import InFlightCommands
from tests.integration.breakable import until
from tests.stack import Stack


@dataclass
class Subscriber:
    """What flow control knows of a subscriber of FastStream."""

    subscription: Subscription | None = None
    taken: int = 0

    async def consume(self, _message: Msg) -> None:
        self.taken += 1


async def test_a_worker_that_nats_has_left_without_a_word_is_found_again(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where NATS met a limit just before it was raised, it sends nothing more: subscribe again when idle."""
    monkeypatch.setattr(flow_control, "IDLE_SECONDS", 0.05)
    subscriber = Subscriber()
    control = FlowControl(subscriber, InFlightCommands(longest_seconds=5))
    async with await nats.connect(stack.env["NATS_URL"]) as connection:
        subject = connection.new_inbox()
        subscription = await connection.subscribe(subject, cb=subscriber.consume)
        subscriber.subscription = subscription
        await connection.publish(subject)
        await until(lambda: subscriber.taken == 1, "the first is taken")
        await connection._send_unsubscribe(subscription._id)  # as NATS does by itself at the limit
        running = asyncio.create_task(control.run())
        async with asyncio.timeout(20):
            while subscriber.taken == 1:
                await connection.publish(subject)
                await connection.flush()
        running.cancel()
