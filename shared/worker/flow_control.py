"""Credit-based flow control: NATS sends a worker no more commands than it has room for.

`UNSUB <id> <limit>` makes NATS end a subscription once it has sent so many messages. The limit is raised as
commands are answered. Where it is reached, the worker is out of the queue group until most of what it has
in flight is answered, and then subscribes again. Meanwhile NATS gives the commands to other workers, and
where there is none it answers `no responders` by itself, at once: to turn callers away would cost a worker
more time than it has left to serve the others.

A worker that cannot serve a subject leaves its queue group in the same way, until it can.

NATS counts messages, and a message may have many commands: how many, is learned from the last ones.
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

# In messages, however many commands each has: what is too much is turned away by the worker.
LEAST_CREDIT = 16
LEARN_FROM = 8
IDLE_SECONDS = 1.0

log = structlog.get_logger()


class Subscriber(Protocol):
    """What flow control knows of a subscriber of FastStream."""

    @property
    def subscription(self) -> Subscription | None: ...


class FlowControl:
    """The credit of one subscriber, and whether it `serves` at the moment."""

    def __init__(
        self, subscriber: Subscriber, in_flight: InFlightCommands, serves: Callable[[], bool] = lambda: True
    ) -> None:
        self._subscriber = subscriber
        self._in_flight = in_flight
        self._serves = serves
        self._before = 0
        """How many messages there had been when NATS began to count."""
        self._limit = 0
        self._seen = 0
        self._commands_a_message = 1.0
        """On average, of late."""
        self._low = asyncio.Event()

    def admit(self) -> bool:
        """Whether there is room for what has come. A message of many is taken where there is room for one."""
        if self._limit - self._sent < self._full // 2:
            self._low.set()
        return self._in_flight.count < MOST_IN_FLIGHT

    def count(self, commands: int) -> None:
        """Learn how many commands there were in a message."""
        self._commands_a_message += (commands - self._commands_a_message) / LEARN_FROM

    def connection_lost(self) -> None:
        """NATS counts anew on the next connection, and has no limit there."""
        if self._subscriber.subscription is not None:
            self._before, self._limit = self._subscription.delivered, 0

    def review(self) -> None:
        """Look whether the worker serves, which may have changed."""
        self._low.set()

    async def run(self) -> None:
        """Keep the credit up, for as long as the worker takes commands."""
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
        assert self._subscriber.subscription is not None  # noqa: S101 - FlowControl runs once there is one
        return self._subscriber.subscription

    @property
    def _full(self) -> int:
        """The credit of a worker that has nothing in flight, in messages."""
        return max(LEAST_CREDIT, round(MOST_IN_FLIGHT / self._commands_a_message))

    @property
    def _credit(self) -> int:
        """The credit that there is room for. Never none: NATS would take that for the end."""
        return max(1, self._full * (MOST_IN_FLIGHT - self._in_flight.count) // MOST_IN_FLIGHT)

    @property
    def _sent(self) -> int:
        return self._subscription.delivered - self._before

    async def _raise_limit(self) -> bool:
        """Raise it by what there is room for; False where it may have been reached before that."""
        subscription, before = self._subscription, self._limit
        limit = self._sent + self._credit - subscription.pending_msgs
        if limit >= before + max(1, self._full // 20):
            self._limit = limit
            await nats_wire.unsubscribe(subscription, after=limit)
        with contextlib.suppress(NatsError):  # after a round trip most of what was sent before is there
            await nats_wire.round_trip(nats_wire.connection_of(subscription))
        return self._sent < (before or limit) - self._full // 4

    async def _stay_away(self) -> None:
        """Be no member of the queue group until the worker serves again."""
        log.info("subject_left", subject=self._subscription.subject)
        while not self._serves():
            # Each time, for a client that has connected again subscribes to all that it had.
            await nats_wire.unsubscribe(self._subscription)
            self._low.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._low.wait()
        await self._subscribe_again()
        log.info("subject_joined", subject=self._subscription.subject)

    async def _subscribe_again(self) -> None:
        """With all the credit there is."""
        self._before, self._limit = self._subscription.delivered, self._credit
        await nats_wire.subscribe_again(self._subscription, limit=self._limit)

    async def _look_while_idle(self) -> None:
        """NATS may have reached the limit just before it was raised, and sent the last messages late."""
        idle, self._seen = self._seen == self._subscription.delivered, self._subscription.delivered
        if idle and self._sent and nats_wire.connection_of(self._subscription).is_connected:
            await self._subscribe_again()
