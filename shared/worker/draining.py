"""Drain a worker: stop receiving, and answer every command that was received."""

import asyncio
from contextlib import suppress

import structlog
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from shared.process import nats_wire
from shared.worker.in_flight import InFlightCommands

QUIET_SECONDS = 0.2

log = structlog.get_logger()


async def drain(subscriptions: list[Subscription], in_flight: InFlightCommands, seconds: float) -> None:
    """Unsubscribe, and wait until all received commands are answered, for at most `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(_finish(subscription) for subscription in subscriptions))
            await in_flight.wait_until_empty()
    except TimeoutError:
        log.warning("drain_incomplete", in_flight=in_flight.count)


async def _finish(subscription: Subscription) -> None:
    """Unsubscribe, and wait until all messages that NATS has sent are handed to their handler.

    Measured: NATS may still send whole buffers of messages after a round trip. So wait until a pause of
    `QUIET_SECONDS` brings no message.
    """
    connection = nats_wire.connection_of(subscription)
    if connection.is_connected:
        with suppress(NatsError):  # a connection that is lost now delivers nothing more
            await nats_wire.unsubscribe(subscription)
            seen = -1
            while seen != (seen := subscription.delivered):
                await nats_wire.round_trip(connection)
                await asyncio.sleep(QUIET_SECONDS)
    else:
        nats_wire.forget(subscription)
    await nats_wire.handed_out(subscription)
