"""Read the event stream: at least once, in order per booking, resumable with a durable name."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from datetime import datetime

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy

from ..contract.errors import InvalidRequest, NotExecuted
from ..contract.events import STREAM, SUBJECTS, BookingEvent, FollowEvents, read_event, subject_of
from ..process.nats_access import EVENTS_API

FETCHED_AT_ONCE = 64
MOST_UNACKNOWLEDGED = 16 * FETCHED_AT_ONCE
"""More than one reader has, so that the events of a killed reader do not keep the next one from reading."""
FETCH_SECONDS = 5.0
ACK_SECONDS = 60.0
"""An event that is not acknowledged within this time is delivered again."""
INACTIVE_SECONDS = 300.0
RETRY_SECONDS = 0.5
REMEMBERED = 1000

log = structlog.get_logger()


async def read_events(
    connection: Client, wanted: FollowEvents, consumer: str | None = None
) -> AsyncGenerator[BookingEvent, None]:
    """Yield events without end, and acknowledge an event when the loop asks for the next one.

    With `consumer`, in a deployment with accounts, that consumer of this client is read. Its events of other
    sites and of earlier times are passed over.

    If the connection is lost or the stream is deleted, retry until both exist again. Suppress a duplicate of
    the last `REMEMBERED` events; an older duplicate is yielded.
    """
    jetstream = connection.jetstream(**({} if consumer is None else {"prefix": EVENTS_API}))
    subject = SUBJECTS if wanted.site is None else subject_of(wanted.site)
    start, recent, waits = wanted.since, OrderedDict[str, None](), False
    while True:
        try:
            if consumer is None:
                subscription = await _subscribe(jetstream, subject, start, wanted.durable)
            else:
                subscription = await jetstream.pull_subscribe_bind(consumer, STREAM)
            try:
                info = await subscription.consumer_info()
                if consumer is None and info.config.filter_subject != subject:
                    raise InvalidRequest("durable is the name of a consumer of other events")
                start, waits = start or info.created, False
                async with aclosing(_messages(subscription)) as messages:
                    async for message in messages:
                        start = message.metadata.timestamp
                        event = _read(message)
                        if (
                            event
                            and event.event_id not in recent
                            and (not consumer or _is_wanted(event, wanted))
                        ):
                            yield event
                            recent[event.event_id] = None
                            if len(recent) > REMEMBERED:
                                recent.popitem(last=False)
            finally:
                with suppress(NatsError):
                    await subscription.unsubscribe()
        except (NatsError, TimeoutError) as error:
            if connection.is_closed:
                raise NotExecuted("The connection to NATS is closed") from None
            if not waits:
                log.warning("events_wait", reason=type(error).__name__)
            waits = True
            await asyncio.sleep(RETRY_SECONDS)


async def _messages(subscription: JetStreamContext.PullSubscription) -> AsyncGenerator[Msg, None]:
    """Yield messages, and acknowledge each one when the next is asked for; return the rest at the end.

    Raises:
        NatsError: the stream or the consumer is gone, or NATS is.
    """
    while True:
        try:
            unread = deque(await subscription.fetch(FETCHED_AT_ONCE, FETCH_SECONDS))
        except TimeoutError:
            await subscription.consumer_info()
            continue
        try:
            while unread:
                yield unread[0]
                await unread.popleft().ack()
        finally:  # a reader with the same name gets at once what this one did not acknowledge
            for message in unread:
                with suppress(NatsError):
                    await message.nak()


def _is_wanted(event: BookingEvent, wanted: FollowEvents) -> bool:
    return wanted.site in (None, event.site) and (wanted.since is None or event.at >= wanted.since)


def _read(message: Msg) -> BookingEvent | None:
    """The event of a message; None if it is of a type that this release does not know."""
    try:
        return read_event(message.headers or {}, message.data)
    except InvalidRequest:
        log.debug("event_passed_over", subject=message.subject)
        return None


async def _subscribe(
    jetstream: JetStreamContext, subject: str, start: datetime | None, durable: str | None
) -> JetStreamContext.PullSubscription:
    """Bind to the durable consumer, or create a consumer from `start` on, or from now on without `start`."""
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.NEW if start is None else DeliverPolicy.BY_START_TIME,
        opt_start_time=start,
        ack_wait=ACK_SECONDS,
        max_ack_pending=MOST_UNACKNOWLEDGED,
        inactive_threshold=None if durable else INACTIVE_SECONDS,
    )
    return await jetstream.pull_subscribe(subject, durable=durable, stream=STREAM, config=config)
