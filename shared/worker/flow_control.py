"""Credit-based flow control: NATS sends a worker only as many commands as it has capacity for.

`UNSUB <id> <limit>` makes NATS end a subscription after `limit` messages. The worker raises the limit as it
answers commands. If the limit is reached, the worker is out of the queue group until it has answered most
commands in flight, and then subscribes again. Meanwhile NATS sends the commands to other workers. If no other
worker exists, NATS itself answers `no responders` at once: to refuse callers would cost the worker more time
than it has left to serve commands.

A worker that cannot serve a subject leaves its queue group in the same way, until it can.

NATS counts messages, and a message may carry many commands. The average number is learned from recent ones.
https://docs.nats.io/reference/reference-protocols/nats-protocol#unsub
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

import structlog
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from shared.process import nats_wire
from shared.worker.in_flight import MOST_IN_FLIGHT, InFlightCommands
from shared.worker.metrics import PAUSES

# In messages. If they carry more commands than the worker has capacity for, it refuses some messages.
LEAST_CREDIT = 16
LEARN_FROM = 8
IDLE_SECONDS = 1.0

log = structlog.get_logger()


class Subscriber(Protocol):
    """The part of a FastStream subscriber that flow control uses."""

    @property
    def subscription(self) -> Subscription | None: ...


class FlowControl:
    """The credit of the subscriber of `subject`; `serves` returns whether the worker serves it now."""

    def __init__(
        self,
        subject: str,
        subscriber: Subscriber,
        in_flight: InFlightCommands,
        serves: Callable[[], bool] = lambda: True,
    ) -> None:
        self.subject = subject
        self._subscriber = subscriber
        self._in_flight = in_flight
        self._serves = serves
        self._before = 0
        """Messages that were received before NATS started to count."""
        self._limit = 0
        self._seen = 0
        self._commands_a_message = 1.0
        """A moving average."""
        self._low = asyncio.Event()

    def admit(self) -> bool:
        """Return whether to accept a message. Capacity for one command is enough to accept a batch."""
        if self._limit - self._sent < self._full // 2:
            self._low.set()
        return self._in_flight.count < MOST_IN_FLIGHT

    def count(self, commands: int) -> None:
        """Record how many commands an accepted message had."""
        self._commands_a_message += (commands - self._commands_a_message) / LEARN_FROM

    def connection_lost(self) -> None:
        """Reset the count: on the next connection NATS counts from zero, without a limit."""
        if self._subscriber.subscription is not None:
            self._before, self._limit = self._subscription.delivered, 0

    def review(self) -> None:
        """Check again whether the worker serves the subject."""
        self._low.set()

    async def run(self) -> None:
        """Keep the credit above zero until cancelled."""
        while True:
            if not self._serves():
                await self._stay_away()
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._low.wait()
            except TimeoutError:
                await self._look_while_idle()
                continue
            self._low.clear()
            if self._serves() and not await self._raise_limit():
                PAUSES.inc()
                log.warning("overloaded", in_flight=self._in_flight.count)
                await self._in_flight.wait_for_capacity()
                await self._subscribe_again()

    @property
    def _subscription(self) -> Subscription:
        assert self._subscriber.subscription is not None  # noqa: S101 - FlowControl runs after it has subscribed
        return self._subscriber.subscription

    @property
    def _full(self) -> int:
        """The credit of an idle worker, in messages."""
        return max(LEAST_CREDIT, round(MOST_IN_FLIGHT / self._commands_a_message))

    @property
    def _credit(self) -> int:
        """The credit that the worker has capacity for, in messages. At least 1: NATS reads 0 as 'now'."""
        return max(1, self._full * (MOST_IN_FLIGHT - self._in_flight.count) // MOST_IN_FLIGHT)

    @property
    def _sent(self) -> int:
        return self._subscription.delivered - self._before

    async def _raise_limit(self) -> bool:
        """Raise the limit to the current credit; return False if NATS may have reached the old limit."""
        subscription, before = self._subscription, self._limit
        limit = self._sent + self._credit - subscription.pending_msgs
        if limit >= before + max(1, self._full // 20):
            self._limit = limit
            await nats_wire.unsubscribe(subscription, after=limit)
        with contextlib.suppress(NatsError):  # after a round trip, most messages sent before are received
            await nats_wire.round_trip(nats_wire.connection_of(subscription))
        return self._sent < (before or limit) - self._full // 4

    async def _stay_away(self) -> None:
        """Leave the queue group until the worker serves the subject again."""
        log.info("subject_left", subject=self.subject)
        while not self._serves():
            # In every turn, because a client that reconnects subscribes to all its subjects again.
            await nats_wire.unsubscribe(self._subscription)
            self._low.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._low.wait()
        await self._subscribe_again()
        log.info("subject_joined", subject=self.subject)

    async def _subscribe_again(self) -> None:
        """Subscribe with the full current credit."""
        self._before, self._limit = self._subscription.delivered, self._credit
        await nats_wire.subscribe_again(self._subscription, limit=self._limit)

    async def _look_while_idle(self) -> None:
        """Subscribe again after an idle time, in case NATS reached the limit just before it was raised."""
        idle, self._seen = self._seen == self._subscription.delivered, self._subscription.delivered
        if idle and self._sent and nats_wire.connection_of(self._subscription).is_connected:
            await self._subscribe_again()
