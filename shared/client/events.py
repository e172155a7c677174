"""Read the event stream: at least once, in order per booking, resumable with a durable name."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import datetime

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy

from ..contract.errors import InvalidRequest
from ..contract.events import STREAM, SUBJECTS, BookingEvent, FollowEvents, read_event, subject_of

FETCHED_AT_ONCE = 64
FETCH_SECONDS = 5.0
ACK_SECONDS = 60.0
"""An event that is not acknowledged within this time is delivered again."""
INACTIVE_SECONDS = 300.0
RETRY_SECONDS = 0.5
REMEMBERED = 1000

log = structlog.get_logger()


async def read_events(connection: Client, wanted: FollowEvents) -> AsyncGenerator[BookingEvent, None]:
    """Yield events without end, and acknowledge an event when the loop asks for the next one.

    If the connection is lost or the stream is deleted, retry until both exist again. Suppress a duplicate of
    the last `REMEMBERED` events; an older duplicate is yielded.
    """
    jetstream = connection.jetstream()
    subject = SUBJECTS if wanted.site is None else subject_of(wanted.site)
    start, recent = wanted.since, OrderedDict[str, None]()
    while True:
        try:
            subscription = await _subscribe(jetstream, subject, start, wanted.durable)
            while True:
                try:
                    messages = await subscription.fetch(FETCHED_AT_ONCE, FETCH_SECONDS)
                except TimeoutError:
                    await subscription.consumer_info()  # raises if the stream was deleted
                    continue
                unread = deque(messages)
                try:
                    while unread:
                        start = unread[0].metadata.timestamp
                        event = _read(unread[0])
                        if event and event.event_id not in recent:
                            yield event
                            recent[event.event_id] = None
                            if len(recent) > REMEMBERED:
                                recent.popitem(last=False)
                        await unread.popleft().ack()
                finally:  # the loop has ended before: a reader with this name gets them at once
                    for message in unread:
                        with suppress(NatsError):
                            await message.nak()
        except (NatsError, TimeoutError) as error:
            log.warning("events_wait", reason=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)


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
        max_ack_pending=FETCHED_AT_ONCE,
        inactive_threshold=None if durable else INACTIVE_SECONDS,
    )
    return await jetstream.pull_subscribe(subject, durable=durable, stream=STREAM, config=config)
