"""The FastStream broker of a worker: it serves while its context lasts, and drains at the end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from faststream.nats import NatsBroker
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from shared.process.nats_options import NatsOptions
from shared.process.settings import NatsSettings
from shared.worker.flow_control import FlowControl, round_trip
from shared.worker.in_flight import InFlightCommands

DRAIN_SECONDS = 6.0
QUIET_SECONDS = 0.2

log = structlog.get_logger()


@asynccontextmanager
async def serve(
    name: str, settings: NatsSettings, register: Callable[[NatsBroker], None]
) -> AsyncIterator[None]:
    """Subscribe the handlers that `register` declares, and answer every command they are sent."""
    in_flight = InFlightCommands(longest_seconds=settings.request_timeout_seconds)
    options = NatsOptions(settings.nats_url, name)
    broker = NatsBroker(
        **options.connect,
        middlewares=(in_flight.middleware,),
        logger=None,  # its own lines quote exception texts, which could quote a name
        apply_types=False,  # commands come decoded and valid; to check them again costs more than the handler
    )
    register(broker)
    subscribers: list[Any] = list(broker.subscribers)
    # Whether it is ready, a worker says however much it has in hand.
    controls = [
        FlowControl(each, in_flight) for each in subscribers if not each.subject.template.endswith(".ready")
    ]
    await broker.start()
    with suppress(NatsError):  # where NATS is lost again, it hears of them when it is back
        await round_trip(subscribers[0].subscription._conn)  # who reads `serving` may send
    running = [asyncio.create_task(control.run()) for control in controls]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await drain([each.subscription for each in subscribers], in_flight)
        options.closing = True
        with suppress(NatsError, OSError):  # where NATS is away there is nobody to take leave of
            await broker.stop()


async def drain(subscriptions: list[Subscription], in_flight: InFlightCommands) -> None:
    """Take no more commands, and wait until all in hand are answered."""
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await asyncio.gather(*(_finish(subscription) for subscription in subscriptions))
    except (TimeoutError, NatsError) as error:
        log.warning("drain_incomplete", error=type(error).__name__)
    await in_flight.wait_until_empty(DRAIN_SECONDS)


async def _finish(subscription: Subscription) -> None:
    """Have no more sent, and take what was sent already.

    Not `Subscription.drain`: it forgets the subscription after one round trip. NATS was seen to send whole
    buffers of messages after that, which nobody would answer.
    """
    await subscription._conn._send_unsubscribe(subscription._id)
    seen = -1
    while seen != (seen := subscription.delivered):
        await round_trip(subscription._conn)
        await asyncio.sleep(QUIET_SECONDS)
    await subscription._pending_queue.join()
