"""The NATS side of a worker: subscribe, answer commands while the context is open, and drain at its end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from faststream import AckPolicy, StreamMessage
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from shared.contract.operation import Operation
from shared.process import nats_wire
from shared.process.gateway_settings import AccessSettings
from shared.process.nats_options import RECONNECT_SECONDS, NatsOptions
from shared.process.settings import NatsSettings, load
from shared.process.tasks import run_until_cancelled
from shared.worker.dispatcher import Dispatcher, Handler, Handlers
from shared.worker.draining import drain
from shared.worker.flow_control import FlowControl
from shared.worker.hints import HintPublisher
from shared.worker.in_flight import InFlightCommands
from shared.worker.metrics import DROPPED
from shared.worker.peers import watch_peers
from shared.worker.readiness_responder import ReadinessResponder
from shared.worker.senders import ADDRESS, any_sender, senders_with_accounts
from shared.worker.serving_policy import ServingPolicy

Take = Callable[[Msg], Awaitable[None]]
"""Takes a received message, and returns at once."""


class _GuardedBroker(NatsBroker):
    """A FastStream broker that connects with a `GuardedClient`, and with all the options of nats-py."""

    def __init__(self, options: NatsOptions, **more: Any) -> None:
        super().__init__(**more)
        self._options = options

    async def connect_guarded(self) -> nats_wire.GuardedClient:
        """Connect, and return the connection."""
        connection = await self.connect()
        assert isinstance(connection, nats_wire.GuardedClient)  # noqa: S101 - FastStream calls `_connect`
        return connection

    async def _connect(self) -> Client:
        connection = nats_wire.GuardedClient(deliver_malformed=True, on_dropped=DROPPED.inc)
        await connection.connect(**self._options.connect)
        self.config.connect(connection)
        return connection


class WorkerBroker:
    """The subscriptions of a worker. It calls `fail` if the worker can never serve again and must end."""

    def __init__(self, name: str, settings: NatsSettings, fail: Callable[[], None]) -> None:
        self._drain_seconds = settings.drain_seconds
        self._fail = fail
        self._in_flight = InFlightCommands()
        self.hints = HintPublisher(lambda: self._connection)
        access = settings.nats_access
        self._address = ADDRESS if access else ""
        self._own_prefix = access.subject_prefix if access else ""
        self._dispatcher = Dispatcher(
            self._in_flight,
            self.hints,
            longest_seconds=settings.request_timeout_seconds,
            sender_of=senders_with_accounts(load(AccessSettings).api_keys_file) if access else any_sender,
        )
        self._controls: dict[str, FlowControl] = {}
        self._takes: dict[str, Take] = {}
        """By the subject of the subscription."""
        self._options = NatsOptions(
            settings.nats_url,
            name,
            tls=settings.tls(),
            access=access,
            on_closed=fail,
            on_disconnected=self._connection_lost,
        )
        self._broker = _GuardedBroker(
            self._options,
            ack_policy=AckPolicy.MANUAL,  # core NATS has no acknowledgements: looking for them costs time
            logger=None,  # FastStream's log lines quote exception texts, which could contain a name
            apply_types=False,  # the dispatcher validates messages: doing it twice costs time
        )
        self._connection: nats_wire.GuardedClient | None = None
        self._subscribed = False
        self._draining = False

    def problem(self) -> str | None:
        """Return why the worker receives no commands from NATS, or None."""
        if self._connection is None or not self._connection.is_connected:
            return "not connected"
        if not self._connection.is_reading:
            return "not reading"
        return None if self._subscribed else "not subscribed"

    @asynccontextmanager
    async def serve(
        self,
        handlers: Handlers,
        ready: Operation[Any, Any] | None = None,
        policy: ServingPolicy | None = None,
    ) -> AsyncIterator[None]:
        """Subscribe to the operations of `handlers`, and answer every command until the context is closed.

        Args:
            handlers: the handler of each operation.
            ready: the operation that asks whether this worker is ready; answered only with a `policy`.
            policy: decides which operations are served now. Without it, all are.
        """
        for operation, handler in handlers.items():
            self._subscribe(operation, handler, policy)
        if ready is not None and policy is not None:
            address = self._address + ready.subject
            subscriber = self._broker.subscriber(address, decoder=_undecoded, no_reply=True)
            self._pass_to(ReadinessResponder(policy.readiness).take, subscriber, address)
        running: list[asyncio.Task[None]] = []
        try:
            self._connection = await self._broker.connect_guarded()
            await self._broker.start()
            self._bypass_faststream()
            await _round_trip(self._connection)  # a caller may send as soon as it reads the line `serving`
            running = [run_until_cancelled(control.run(), self._fail) for control in self._controls.values()]
            if policy:
                policy.on_change(self._review)
                if ready is not None:
                    watch = watch_peers(
                        self._connection, self._own_prefix + ready.subject, policy, self._review
                    )
                    running.append(run_until_cancelled(watch, self._fail))
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
            with suppress(NatsError, OSError):  # NATS may be unreachable
                await self._broker.stop()

    @property
    def _subscribers(self) -> list[Any]:
        return list(self._broker.subscribers)

    @property
    def _subscriptions(self) -> list[Subscription]:
        return [one.subscription for one in self._subscribers if one.subscription is not None]

    def _connection_lost(self) -> None:
        for control in self._controls.values():
            control.connection_lost()
        for subscription in self._subscriptions if self._draining else ():
            nats_wire.forget(subscription)

    def _subscribe(
        self, operation: Operation[Any, Any], handler: Handler[Any, Any], policy: ServingPolicy | None
    ) -> None:
        """Subscribe to the subject of an operation, and to its subject of batches if it has one."""
        serves = partial(policy.serves, operation) if policy else _always
        for subject in (operation.subject, *([operation.many_subject] if operation.batched else ())):
            address = self._address + subject
            subscriber = self._broker.subscriber(
                address, queue=operation.group or "", decoder=_undecoded, no_reply=True
            )
            control = self._controls[subject] = FlowControl(subject, subscriber, self._in_flight, serves)
            many = subject != operation.subject
            self._pass_to(
                partial(self._dispatcher.take, operation, handler, control, many=many), subscriber, address
            )

    def _pass_to(self, take: Take, subscriber: Any, address: str) -> None:
        """Pass the messages that a FastStream subscriber receives to `take`."""
        self._takes[address] = take
        subscriber(_of_raw_messages(take))

    def _bypass_faststream(self) -> None:
        """Receive messages without FastStream, which would cost more time than all the rest of receiving."""
        for subscription in self._subscriptions:
            nats_wire.deliver_to(subscription, self._takes[subscription.subject])

    def _review(self) -> None:
        for control in self._controls.values():
            control.review()


def _always() -> bool:
    return True


async def _undecoded(message: StreamMessage[Msg]) -> StreamMessage[Msg]:
    return message


def _of_raw_messages(take: Take) -> Callable[[StreamMessage[Msg]], Awaitable[None]]:
    async def take_raw(message: StreamMessage[Msg]) -> None:
        await take(message.raw_message)

    return take_raw


async def _round_trip(connection: Client) -> None:
    """Wait for a round trip; after a lost connection retry, because the client subscribes again by itself."""
    while not connection.is_closed:
        try:
            await nats_wire.round_trip(connection)
        except NatsError:
            await asyncio.sleep(RECONNECT_SECONDS)
        else:
            return
