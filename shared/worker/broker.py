"""The FastStream broker of a worker: it serves while its context lasts, and drains at the end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import structlog
from faststream import AckPolicy, StreamMessage
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from shared.contract.envelope import refusal
from shared.contract.errors import Overloaded
from shared.contract.operation import Operation
from shared.process import nats_wire
from shared.process.nats_options import RECONNECT_SECONDS, NatsOptions
from shared.process.settings import NatsSettings
from shared.process.tasks import run_for_good
from shared.worker.dispatcher import Dispatcher, Handler, Handlers
from shared.worker.duty import Duty
from shared.worker.flow_control import FlowControl
from shared.worker.hints import HintPublisher
from shared.worker.in_flight import InFlightCommands
from shared.worker.messages import send
from shared.worker.metrics import DROPPED, TURNED_AWAY
from shared.worker.others import any_is_ready
from shared.worker.ready import ReadyAnswers

QUIET_SECONDS = 0.2
OTHERS_SECONDS = 1.0
TURNED_AWAY_REPLY = refusal(Overloaded())

log = structlog.get_logger()


class _GuardedBroker(NatsBroker):
    """Connects by a `GuardedClient`."""

    async def connect_guarded(self) -> nats_wire.GuardedClient:
        """Connect, and return the connection."""
        connection = await self.connect()
        assert isinstance(connection, nats_wire.GuardedClient)  # noqa: S101 - FastStream calls `_connect`
        return connection

    async def _connect(self) -> Client:
        connection = nats_wire.GuardedClient(deliver_malformed=True, on_dropped=DROPPED.inc)
        await connection.connect(**self._connection_kwargs)
        self.config.connect(connection)
        return connection


class WorkerBroker:
    """A worker's way to NATS. `fail` is called where the worker can serve no more, and must end."""

    def __init__(self, name: str, settings: NatsSettings, fail: Callable[[], None]) -> None:
        self._drain_seconds = settings.drain_seconds
        self._fail = fail
        self._in_flight = InFlightCommands()
        self.hints = HintPublisher(lambda: self._connection)
        self._dispatcher = Dispatcher(
            self._in_flight, self.hints, longest_seconds=settings.request_timeout_seconds
        )
        self._controls: dict[str, FlowControl] = {}
        self._options = NatsOptions(
            settings.nats_url, name, on_closed=fail, on_disconnected=self._connection_lost
        )
        self._broker = _GuardedBroker(
            **self._options.connect,
            ack_policy=AckPolicy.MANUAL,  # nothing to acknowledge: finding that out each time is dear
            logger=None,  # its own lines quote exception texts, which could quote a name
            apply_types=False,  # the dispatcher reads messages: checking them again is dear
        )
        self._connection: nats_wire.GuardedClient | None = None
        self._subscribed = False
        self._draining = False

    def problem(self) -> str | None:
        """Why no commands come from NATS, or None."""
        if self._connection is None or not self._connection.is_connected:
            return "not connected"
        if not self._connection.is_reading:
            return "not reading"
        return None if self._subscribed else "not subscribed"

    @asynccontextmanager
    async def serve(
        self, handlers: Handlers, ready: Operation[Any, Any] | None = None, duty: Duty | None = None
    ) -> AsyncIterator[None]:
        """Subscribe to all that `handlers` answer, and answer every command.

        With `duty`, no commands are taken of operations that cannot be served at the moment, and `ready` is
        how others ask whether they can.
        """
        for operation, handler in handlers.items():
            self._subscribe(operation, handler, duty)
        if ready is not None and duty is not None:
            answers = ReadyAnswers(duty.readiness)
            self._broker.subscriber(ready.subject, decoder=_undecoded, no_reply=True)(_take_all(answers))
        running: list[asyncio.Task[None]] = []
        try:
            self._connection = await self._broker.connect_guarded()
            await self._broker.start()
            if ready is not None and duty is not None:
                self._answer_together(ready, answers)
            await _round_trip(self._connection)  # who reads `serving` may send
            running = [run_for_good(control.run(), self._fail) for control in self._controls.values()]
            if duty:
                duty.on_change(self._review)
                if ready is not None:
                    running.append(run_for_good(self._watch_others(duty, ready.subject), self._fail))
            self._subscribed = True
            yield
        finally:
            self._subscribed, self._draining = False, True
            for task in running:
                task.cancel()
            await self._stop()

    async def _stop(self) -> None:
        if self._connection is None or self._connection.is_closed:
            return
        await drain(self._subscriptions, self._in_flight, self._drain_seconds)
        self._options.closing = True
        if not self._connection.is_closed:
            with suppress(NatsError, OSError):  # where NATS is away there is nobody to take leave of
                await self._broker.stop()

    @property
    def _subscribers(self) -> list[Any]:
        return list(self._broker.subscribers)

    @property
    def _subscriptions(self) -> list[Subscription]:
        return [each.subscription for each in self._subscribers if each.subscription is not None]

    def _connection_lost(self) -> None:
        for control in self._controls.values():
            control.connection_lost()
        for subscription in self._subscriptions if self._draining else ():
            nats_wire.forget(subscription)

    def _subscribe(
        self, operation: Operation[Any, Any], handler: Handler[Any, Any], duty: Duty | None
    ) -> None:
        """To its subject, and to that of many if its commands travel together."""
        serves = partial(duty.serves, operation) if duty else _always
        for subject in (operation.subject, *([operation.many_subject] if operation.batched else ())):
            many = subject != operation.subject
            subscriber = self._broker.subscriber(
                subject, queue=operation.group or "", decoder=_undecoded, no_reply=True
            )
            control = self._controls[subject] = FlowControl(subscriber, self._in_flight, serves)
            subscriber(partial(self._take, operation, handler, control, many))

    async def _take(
        self,
        operation: Operation[Any, Any],
        handler: Handler[Any, Any],
        control: FlowControl,
        many: bool,
        message: StreamMessage[Msg],
    ) -> None:
        """Begin to answer a message, and be ready for the next; turn it away where there is no room for it.

        FastStream calls this with one message at a time. (Its `max_workers` costs more than all of this, and
        a shutdown would lose what waits in its buffer.)
        """
        raw = message.raw_message
        if not control.admit():
            TURNED_AWAY.labels(raw.subject).inc()
            await send(raw, TURNED_AWAY_REPLY)
            return
        control.count(self._dispatcher.begin(operation, handler, raw, many=many))

    def _answer_together(self, ready: Operation[Any, Any], answers: ReadyAnswers) -> None:
        for subscription in self._subscriptions:
            if subscription.subject == ready.subject:
                nats_wire.offer_first(subscription, answers.take)

    def _review(self) -> None:
        for control in self._controls.values():
            control.review()

    async def _watch_others(self, duty: Duty, ready: str) -> None:
        """While this host's clock is wrong, ask whether another worker is ready to serve instead."""
        while True:
            others_are_ready = duty.clock_is_wrong and await self._another_is_ready(ready)
            if others_are_ready != duty.others_are_ready:
                duty.others_are_ready = others_are_ready
                self._review()
            await asyncio.sleep(OTHERS_SECONDS)

    async def _another_is_ready(self, ready: str) -> bool:
        assert self._connection is not None  # noqa: S101 - this runs while it serves
        try:
            return await any_is_ready(self._connection, ready)
        except NatsError:
            return False


def _always() -> bool:
    return True


async def _undecoded(message: StreamMessage[Msg]) -> StreamMessage[Msg]:
    return message


def _take_all(answers: ReadyAnswers) -> Callable[[StreamMessage[Msg]], Awaitable[None]]:
    async def take(message: StreamMessage[Msg]) -> None:
        answers.take(message.raw_message)

    return take


async def _round_trip(connection: Client) -> None:
    """However often the connection is lost meanwhile: the next one has the same subscriptions."""
    while not connection.is_closed:
        try:
            await nats_wire.round_trip(connection)
        except NatsError:
            await asyncio.sleep(RECONNECT_SECONDS)
        else:
            return


async def drain(subscriptions: list[Subscription], in_flight: InFlightCommands, seconds: float) -> None:
    """Take no more commands, and answer all that have come, within that time."""
    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(_finish(subscription) for subscription in subscriptions))
            await in_flight.wait_until_empty()
    except TimeoutError:
        log.warning("drain_incomplete", in_flight=in_flight.count)


async def _finish(subscription: Subscription) -> None:
    """Have no more sent, and take what was sent already.

    NATS was seen to send whole buffers of messages after a round trip.
    """
    connection = nats_wire.connection_of(subscription)
    if connection.is_connected:
        with suppress(NatsError):  # where it is lost now, nothing more comes
            await nats_wire.unsubscribe(subscription)
            seen = -1
            while seen != (seen := subscription.delivered):
                await nats_wire.round_trip(connection)
                await asyncio.sleep(QUIET_SECONDS)
    else:
        nats_wire.forget(subscription)
    await nats_wire.handed_out(subscription)
