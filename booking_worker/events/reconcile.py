"""Publish the events that the rows of bookings record and the stream does not have.

The change stream alone cannot find them: the oplog may have passed the resume token, and a JetStream server
that lost its disk's last writes has acknowledged events that it no longer has.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from zlib import crc32

import structlog
from bson.timestamp import Timestamp
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from booking_worker.events.publisher import EventPublisher, Unpublished
from shared.contract.audit import AuditedEvent
from shared.contract.events import MESSAGE_ID, STREAM, SUBJECTS
from shared.stores.mongo.bookings import changed_since
from shared.stores.mongo.connection import Database

LOOK_BACK = timedelta(hours=1)
CLOCK_MARGIN = timedelta(minutes=10)
"""A row's `updatedAt` and the times in its history are those of the clocks of workers."""
LONGEST_PART = 500
MOST_IDS = 500_000
"""The ids of events that a pass keeps in memory, some 60 MB."""
READ_SECONDS = 5.0
INACTIVE_SECONDS = 30.0

log = structlog.get_logger()


@dataclass(frozen=True)
class _Pass:
    """One of `count` passes over the rows and the stream. A booking belongs to one of them."""

    number: int
    count: int

    def has(self, booking_id: str) -> bool:
        return crc32(booking_id.encode()) % self.count == self.number


class Reconciliation:
    """Compares the rows with the stream, in which events stay for `max_age`."""

    def __init__(
        self, database: Database, connection: Client, publisher: EventPublisher, *, max_age: timedelta
    ) -> None:
        self._database = database
        self._jetstream = connection.jetstream()
        self._publisher = publisher
        self._max_age = max_age

    async def publish_missing(
        self, published_until: datetime | None, check: Callable[[], None], up_to: Timestamp | None = None
    ) -> None:
        """Publish the missing events since an hour before `published_until`; all of them if it is None.

        `check` is called between the parts, and raises to end the reconciliation. All changes up to the
        cluster time `up_to` are read, and perhaps later ones. If the stream has more than `MOST_IDS` events,
        both are read several times, each time for other bookings, so that the memory is bounded.

        Raises:
            Unanswered, Unpublished
        """
        now = datetime.now(UTC)
        since = now - self._max_age if published_until is None else min(published_until, now) - LOOK_BACK
        since -= CLOCK_MARGIN
        published, passes = 0, max(1, ceil(await self._count_since(since) / MOST_IDS))
        for number in range(passes):
            one = _Pass(number, passes)
            stored = await self._stored_since(since, one, check)
            async for part in self._parts(since, up_to):
                check()
                missing = [event for event in part if one.has(event.id) and event.event_id not in stored]
                await self._publisher.publish(missing, check)
                published += len(missing)
        if published:
            log.info("events_reconciled", events=published)

    async def publish_again(self, since: datetime, on_published: Callable[[int], None]) -> None:
        """Publish the events of all changes since a moment, whether the stream has them or not.

        `on_published` is called with the number of events of each part.

        Raises:
            Unanswered, Unpublished
        """
        async for part in self._parts(since):
            await self._publisher.publish(part)
            on_published(len(part))

    async def _parts(
        self, since: datetime, up_to: Timestamp | None = None
    ) -> AsyncIterator[list[AuditedEvent]]:
        """The events of changes since a moment, each booking's in the order of its versions."""
        part: list[AuditedEvent] = []
        async for booking_id, history in changed_since(self._database, since, up_to):
            part += [entry.to_event(booking_id) for entry in history if entry.at >= since]
            if len(part) >= LONGEST_PART:
                yield part
                part = []
        yield part

    async def _count_since(self, since: datetime) -> int:
        """The number of events that the stream has stored since a moment."""
        async with self._reading(since) as subscription:
            return (await subscription.consumer_info()).num_pending or 0

    async def _stored_since(self, since: datetime, one: _Pass, check: Callable[[], None]) -> set[str]:
        """The ids of the events of a pass that the stream has stored since a moment."""
        ids: set[str] = set()
        async with self._reading(since) as subscription:
            while left := (await subscription.consumer_info()).num_pending:
                check()
                with suppress(TimeoutError):  # they have left the stream by their age meanwhile
                    for message in await subscription.fetch(min(left, LONGEST_PART), READ_SECONDS):
                        event_id = (message.headers or {}).get(MESSAGE_ID, "")
                        if one.has(event_id.rpartition(":")[0]):
                            ids.add(event_id)
        return ids

    @asynccontextmanager
    async def _reading(self, since: datetime) -> AsyncIterator[JetStreamContext.PullSubscription]:
        """Read the headers of the events that the stream has stored since a moment.

        Raises:
            Unpublished: JetStream failed.
        """
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_TIME,
            opt_start_time=since,
            ack_policy=AckPolicy.NONE,
            headers_only=True,
            inactive_threshold=INACTIVE_SECONDS,
        )
        try:
            subscription = await self._jetstream.pull_subscribe(SUBJECTS, stream=STREAM, config=config)
            try:
                yield subscription
            finally:
                await subscription.unsubscribe()
        except (NatsError, TimeoutError) as error:
            raise Unpublished(type(error).__name__) from None
