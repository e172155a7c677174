"""Publish events to JetStream: pipelined, but never two events of one booking in flight."""

import asyncio
from collections.abc import Callable, Iterator, Sequence

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import DiscardPolicy, PubAck, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError
from prometheus_client import Counter

from shared.contract.events import STREAM, SUBJECTS, BookingEvent
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
    """Publishes to the stream `EVENTS`."""

    def __init__(self, connection: Client, settings: EventSettings) -> None:
        self._settings = settings
        self._jetstream = connection.jetstream(publish_async_max_pending=UNLIMITED)

    async def has_stream(self) -> bool:
        """Return whether the stream exists, and give it this deployment's settings.

        Raises:
            Unpublished: JetStream does not answer, or refuses the settings.
        """
        wanted = self._config()
        try:
            found = (await self._jetstream.stream_info(STREAM)).config
            if (found.max_age, found.num_replicas) != (wanted.max_age, wanted.num_replicas):
                await self._jetstream.update_stream(
                    found.evolve(max_age=wanted.max_age, num_replicas=wanted.num_replicas)
                )
        except NotFoundError:
            return False
        except (NatsError, TimeoutError) as error:
            raise _unpublished(error) from None
        return True

    async def create_stream(self) -> None:
        """Create the stream.

        Raises:
            Unpublished: JetStream does not answer, or refuses the settings.
        """
        try:
            await self._jetstream.add_stream(self._config())
        except (NatsError, TimeoutError) as error:
            raise _unpublished(error) from None
        log.info("event_stream_created", stream=STREAM)

    async def publish(self, events: Sequence[BookingEvent], check: Callable[[], None] = lambda: None) -> None:
        """Publish events in order, and wait until JetStream has stored all of them.

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
                async with asyncio.timeout(ACK_SECONDS):
                    stored = await asyncio.gather(*acks)
            except (NatsError, TimeoutError) as error:
                await _cancel(acks)
                raise _unpublished(error) from None
            for event, ack in zip(part, stored, strict=True):
                if not ack.duplicate:
                    PUBLISHED.labels(event.type).inc()

    def _config(self) -> StreamConfig:
        return StreamConfig(
            name=STREAM,
            description="Changes of bookings",
            subjects=[SUBJECTS],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            max_age=self._settings.max_age.total_seconds(),
            duplicate_window=DUPLICATE_WINDOW_SECONDS,
            num_replicas=self._settings.events_replicas,
            allow_direct=True,
        )


async def _cancel(acks: Sequence["asyncio.Future[PubAck]"]) -> None:
    """Wait for no ack any more, so that nats-py forgets those that never come."""
    for ack in acks:
        ack.cancel()
    await asyncio.gather(*acks, return_exceptions=True)


def _parts(events: Sequence[BookingEvent]) -> Iterator[list[BookingEvent]]:
    """Split events so that no part has two of one booking: the later one waits for the earlier one's ack."""
    part: dict[str, BookingEvent] = {}
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
