"""Publish events to JetStream: pipelined, but never two events of one booking in flight.

Changes by callers with a key are published to the audit stream too, before their events count as published.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import DiscardPolicy, PubAck, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError
from prometheus_client import Counter

from shared.contract import audit
from shared.contract.audit import AuditedEvent, audit_messages
from shared.contract.events import STREAM, SUBJECTS
from shared.process.settings import EventSettings

DUPLICATE_WINDOW_SECONDS = 120.0
ACK_SECONDS = 5.0
MOST_IN_FLIGHT = 1000
UNLIMITED = 1_000_000_000
"""`publish` limits the events in flight. nats-py counts an unsendable event forever."""
NOTHING_BUFFERED = -1
"""While disconnected, nats-py buffers no event: sent later, it could follow a newer one of its booking."""

PUBLISHED = Counter("booking_events_published", "Events that JetStream has acknowledged", ["type"])

log = structlog.get_logger()


class Unpublished(Exception):
    """JetStream did not acknowledge all events: they may be stored or not, and have to be published again."""


class EventPublisher:
    """Publishes to the streams `EVENTS` and `AUDIT`."""

    def __init__(self, connection: Client, settings: EventSettings) -> None:
        self._events = _config(STREAM, SUBJECTS, "Changes of bookings", settings.max_age, settings)
        self._audit = _config(
            audit.STREAM, audit.SUBJECTS, "Callers of changes", settings.audit_max_age, settings
        )
        self._jetstream = connection.jetstream(publish_async_max_pending=UNLIMITED)

    async def has_stream(self) -> bool:
        """Return whether the stream of events exists; give the streams this deployment's settings.

        The audit stream is created if it is absent.

        Raises:
            Unpublished: JetStream does not answer, or refuses the settings.
        """
        try:
            if not await self._adapt(self._audit):
                await self._jetstream.add_stream(self._audit)
            return await self._adapt(self._events)
        except (NatsError, TimeoutError) as error:
            raise _unpublished(error) from None

    async def _adapt(self, wanted: StreamConfig) -> bool:
        """Give a stream the wanted age and replicas; return whether it exists."""
        try:
            found = (await self._jetstream.stream_info(str(wanted.name))).config
        except NotFoundError:
            return False
        if (found.max_age, found.num_replicas) != (wanted.max_age, wanted.num_replicas):
            await self._jetstream.update_stream(
                found.evolve(max_age=wanted.max_age, num_replicas=wanted.num_replicas)
            )
        return True

    async def create_stream(self) -> None:
        """Create the stream of events.

        Raises:
            Unpublished: JetStream does not answer, or refuses the settings.
        """
        try:
            await self._jetstream.add_stream(self._events)
        except (NatsError, TimeoutError) as error:
            raise _unpublished(error) from None
        log.info("event_stream_created", stream=STREAM)

    async def publish(self, events: Sequence[AuditedEvent], check: Callable[[], None] = lambda: None) -> None:
        """Publish events in order and audit them, and wait until JetStream has stored all of that.

        `check` is called before each round trip, and raises to publish no more.

        Raises:
            Unpublished
        """
        for part in _parts(events):
            check()
            acks: list[asyncio.Future[PubAck]] = []
            try:
                for event in part:
                    acks.append(
                        await self._jetstream.publish_async(
                            event.subject, event.body(), stream=STREAM, headers=event.headers()
                        )
                    )
                for message in audit_messages(part):
                    acks.append(
                        await self._jetstream.publish_async(
                            message.subject, message.body, stream=audit.STREAM, headers=message.headers
                        )
                    )
                async with asyncio.timeout(ACK_SECONDS):
                    stored = await asyncio.gather(*acks)
            except (NatsError, TimeoutError) as error:
                await _cancel(acks)
                raise _unpublished(error) from None
            for event, ack in zip(part, stored[: len(part)], strict=True):
                if not ack.duplicate:
                    PUBLISHED.labels(event.type).inc()


def _config(
    name: str, subjects: str, description: str, max_age: timedelta, settings: EventSettings
) -> StreamConfig:
    return StreamConfig(
        name=name,
        description=description,
        subjects=[subjects],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=max_age.total_seconds(),
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
        num_replicas=settings.events_replicas,
        allow_direct=True,
    )


async def _cancel(acks: Sequence["asyncio.Future[PubAck]"]) -> None:
    """Wait for no ack any more, so that nats-py forgets those that never come."""
    for ack in acks:
        ack.cancel()
    await asyncio.gather(*acks, return_exceptions=True)


def _parts(events: Sequence[AuditedEvent]) -> Iterator[list[AuditedEvent]]:
    """Split events so that no part has two of one booking: the later one waits for the earlier one's ack."""
    part: dict[str, AuditedEvent] = {}
    for event in events:
        if event.id in part or len(part) == MOST_IN_FLIGHT:
            yield list(part.values())
            part = {}
        part[event.id] = event
    if part:
        yield list(part.values())


def _unpublished(error: BaseException) -> Unpublished:
    described = error.description if isinstance(error, APIError) and error.description else ""
    return Unpublished(described or type(error).__name__)
