"""Reconciliation: publishes the events that the rows of bookings record and the stream does not have.

The change stream alone cannot find them: the oplog may have passed the resume token, and a JetStream server
that lost its disk's last writes has acknowledged events that it no longer has.
"""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from booking_worker.events.publisher import EventPublisher, Unpublished
from shared.contract.events import MESSAGE_ID, STREAM, SUBJECTS, BookingEvent
from shared.stores.mongo.bookings import changed_since
from shared.stores.mongo.connection import Database

LOOK_BACK = timedelta(hours=1)
CLOCK_MARGIN = timedelta(minutes=10)
"""A row's `updatedAt` and the times in its history are those of the clocks of workers."""
LONGEST_PART = 500
READ_SECONDS = 5.0
INACTIVE_SECONDS = 30.0

log = structlog.get_logger()
Check = Callable[[], None]


class Reconciliation:
    """Compares rows with the stream. Each call goes on only while `check` does not raise."""

    def __init__(
        self, database: Database, connection: Client, publisher: EventPublisher, *, max_age: timedelta
    ) -> None:
        self._database = database
        self._jetstream = connection.jetstream()
        self._publisher = publisher
        self._max_age = max_age

    async def publish_missing(self, published_until: datetime | None, check: Check) -> int:
        """Publish the missing events since an hour before `published_until`; all of them if it is None."""
        now = datetime.now(UTC)
        since = now - self._max_age if published_until is None else min(published_until, now) - LOOK_BACK
        return await self.publish_since(since, check)

    async def publish_since(self, since: datetime | None, check: Check, *, missing_only: bool = True) -> int:
        """Publish the events of all changes since a moment, in the order of each booking's versions.

        Returns:
            How many were published.

        Raises:
            PyMongoError, Unpublished
        """
        begin = max(since or datetime.min.replace(tzinfo=UTC), datetime.now(UTC) - self._max_age)
        begin -= CLOCK_MARGIN
        stored = await self._stored_since(begin) if missing_only else set()
        published = 0
        async for part in _in_parts(self._events_since(begin), LONGEST_PART):
            check()
            missing = [event for event in part if event.event_id not in stored]
            await self._publisher.publish(missing)
            published += len(missing)
        if published:
            log.info("events_reconciled", events=published)
        return published

    async def _events_since(self, begin: datetime) -> AsyncIterator[BookingEvent]:
        async for booking_id, history in changed_since(self._database, begin):
            for entry in history:
                if entry.at >= begin:
                    yield entry.to_event(booking_id)

    async def _stored_since(self, begin: datetime) -> set[str]:
        """The ids of the events that the stream has stored since a moment."""
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_TIME,
            opt_start_time=begin,
            ack_policy=AckPolicy.NONE,
            headers_only=True,
            inactive_threshold=INACTIVE_SECONDS,
        )
        ids: set[str] = set()
        try:
            subscription = await self._jetstream.pull_subscribe(SUBJECTS, stream=STREAM, config=config)
            try:
                left = (await subscription.consumer_info()).num_pending or 0
                while left > 0:
                    messages = await subscription.fetch(min(left, LONGEST_PART), READ_SECONDS)
                    ids.update((message.headers or {}).get(MESSAGE_ID, "") for message in messages)
                    left -= len(messages)
            finally:
                await subscription.unsubscribe()
        except (NatsError, TimeoutError) as error:
            raise Unpublished(type(error).__name__) from None
        return ids


async def _in_parts(events: AsyncIterator[BookingEvent], size: int) -> AsyncIterator[list[BookingEvent]]:
    part: list[BookingEvent] = []
    async for event in events:
        part.append(event)
        if len(part) == size:
            yield part
            part = []
    yield part
