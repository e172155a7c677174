"""Credit-based flow control: NATS sends a worker no more commands than it has room for.

`UNSUB <id> <limit>` makes NATS end a subscription once it has sent so many messages. The limit is raised as
commands are answered. Where it is reached, the worker is out of the queue group until most of what it has
in hand is answered, and then subscribes again. Meanwhile NATS gives the commands to other workers, and
where there is none it answers `no responders` by itself, at once: to turn callers away would cost a worker
more time than it has left to serve the others.
https://docs.nats.io/reference/reference-protocols/nats-protocol#unsub
"""

import asyncio
import contextlib
from typing import Any

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from shared.contract.errors import TOO_MANY, NotExecuted
from shared.contract.replies import refusal
from shared.worker.in_flight import MOST_IN_FLIGHT, InFlightCommands, send

STEP = 50
LATE = 250
IDLE_SECONDS = 1.0
REFUSAL = refusal(NotExecuted(TOO_MANY))

log = structlog.get_logger()


class FlowControl:
    """The credit of one subscriber; it takes the place of its `consume`."""

    def __init__(self, subscriber: Any, in_flight: InFlightCommands) -> None:
        self._subscriber = subscriber
        self._in_flight = in_flight
        self._consume = subscriber.consume
        subscriber.consume = self._admit
        self._connection = 0
        self._before = 0
        """How many messages there had been when NATS began to count."""
        self._limit = 0
        self._seen = 0
        self._low = asyncio.Event()

    async def run(self) -> None:
        """Keep the credit up, for as long as the worker takes commands."""
        while True:
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._low.wait()
            except TimeoutError:
                await self._look_while_idle()
                continue
            self._low.clear()
            if not await self._raise_limit():
                log.warning("overloaded", in_flight=self._in_flight.count)
                await self._in_flight.wait_for_capacity()
                await self._subscribe_again()

    async def _admit(self, message: Msg) -> None:
        if self._connection != (connection := message._client.stats["reconnects"]):
            # A new connection counts anew, and has no limit.
            self._connection, self._before, self._limit = connection, self._subscription.delivered - 1, 0
        if self._in_flight.count < MOST_IN_FLIGHT:
            await self._consume(message)
        else:
            await send(message, REFUSAL)
        if self._limit - self._sent < MOST_IN_FLIGHT // 2:
            self._low.set()

    @property
    def _subscription(self) -> Subscription:
        subscription: Subscription = self._subscriber.subscription
        return subscription

    @property
    def _sent(self) -> int:
        return self._subscription.delivered - self._before

    async def _raise_limit(self) -> bool:
        """Raise it by what there is room for; False where it may have been reached before that."""
        subscription, before = self._subscription, self._limit
        limit = self._sent + MOST_IN_FLIGHT - self._in_flight.count - subscription.pending_msgs
        if limit >= before + STEP:
            self._limit = limit
            await subscription._conn._send_unsubscribe(subscription._id, limit)
        with contextlib.suppress(NatsError):  # after a round trip most of what was sent before is there
            await round_trip(subscription._conn)
        return self._sent < (before or limit) - LATE

    async def _subscribe_again(self) -> None:
        """Under the same id, with all the credit there is. Nobody notices where it was subscribed still."""
        subscription = self._subscription
        self._before, self._limit = subscription.delivered, MOST_IN_FLIGHT - self._in_flight.count
        await subscription._conn._send_unsubscribe(subscription._id)
        await subscription._conn._send_subscribe(subscription)
        await subscription._conn._send_unsubscribe(subscription._id, self._limit)

    async def _look_while_idle(self) -> None:
        """NATS may have reached the limit just before it was raised, and sent the last messages late."""
        idle, self._seen = self._seen == self._subscription.delivered, self._subscription.delivered
        if idle and self._sent and self._subscription._conn.is_connected:
            await self._subscribe_again()


async def round_trip(connection: Client) -> None:
    """Wait until NATS has sent all that it had to send before this call.

    Shielded, for nats-py ends its reading loop at a PONG whose `flush` was cancelled (`_process_pong` sets
    the result of a future that is done).
    """
    await asyncio.shield(connection.flush())
