"""Reads the events of one endpoint, and delivers them.

Each endpoint has a durable consumer of its own, so a slow endpoint delays no other. All processes pull from
the same consumers, and JetStream gives each event to one of them. If a process took an event and was killed,
JetStream gives it to another one `ACK_MARGIN_SECONDS` after the longest time of an attempt.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy

from gateway.webhooks.delivery import ATTEMPTS, DELIVERIES, Sender, retry_delay
from gateway.webhooks.endpoints import StoredWebhook, now
from gateway.webhooks.messages import Delivery
from gateway.webhooks.store import KEPT_DELIVERIES, WebhookStore
from shared.contract.errors import InvalidRequest, NoSuchWebhook, Refused
from shared.contract.events import STREAM, BookingEvent, read_event
from shared.contract.instants import format_instant, unix_milliseconds
from shared.process.settings import WebhookSettings

ACK_MARGIN_SECONDS = 5.0
FETCH_SECONDS = 5.0
RETRY_SECONDS = 1.0
AT_ONCE = 8
"""Deliveries that a process makes at a time to one endpoint."""
MOST_WAITING = 1000
"""Events of an endpoint that wait for a retry. Further events wait in the stream."""
FORGOTTEN_SECONDS = 30 * 24 * 60 * 60.0
"""After which JetStream deletes a consumer that nobody reads: its endpoint was deleted unseen."""
GONE = 410

log = structlog.get_logger()


@dataclass(frozen=True)
class Source:
    """The events that one consumer reads: from `since` on, and up to `until` if it is of a replay."""

    consumer: str
    webhook_id: str
    subjects: tuple[str, ...]
    since: datetime
    until: datetime | None = None


def sources_of(webhook: StoredWebhook) -> list[Source]:
    """Return the sources of an endpoint; none if it is disabled."""
    if webhook.disabledAt:
        return []
    name, subjects = f"webhook-{webhook.id}", tuple(webhook.subjects)
    sources = [Source(name, webhook.id, subjects, webhook.createdAt)]
    if replay := webhook.replay:
        of_replay = f"{name}-replay-{unix_milliseconds(replay.until)}"
        sources.append(Source(of_replay, webhook.id, subjects, replay.since, replay.until))
    return sources


class EndpointConsumer:
    """Delivers the events of one source."""

    def __init__(
        self,
        source: Source,
        connection: Client,
        store: WebhookStore,
        sender: Sender,
        settings: WebhookSettings,
    ) -> None:
        self._source = source
        self._jetstream = connection.jetstream()
        self._store = store
        self._sender = sender
        self._settings = settings
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._under_way: set[asyncio.Task[None]] = set()
        self._past_end = False

    async def run(self, drain_seconds: float) -> None:
        """Deliver, until cancelled; then finish the deliveries under way, for at most `drain_seconds`.

        Other processes make the deliveries that are not finished by then.
        """
        try:
            while True:
                try:
                    await self._consume()
                    await asyncio.Future()  # the replay is over: until this is cancelled
                except (NatsError, TimeoutError, Refused) as error:
                    log.warning("webhook_waits", webhook=self._source.webhook_id, reason=type(error).__name__)
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            if self._under_way:
                _, late = await asyncio.wait(self._under_way, timeout=drain_seconds)
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)

    async def delete(self) -> None:
        """Delete the consumer, if it is there."""
        try:
            await self._jetstream.delete_consumer(STREAM, self._source.consumer)
        except (NatsError, TimeoutError):
            log.debug("consumer_not_deleted", consumer=self._source.consumer)

    async def _consume(self) -> None:
        """Read and deliver; return when a replay is over."""
        subscription = await self._subscribe()
        look_at = asyncio.get_running_loop().time() + FETCH_SECONDS
        try:
            while True:
                await self._slots.acquire()
                try:
                    (message,) = await subscription.fetch(1, FETCH_SECONDS)
                except BaseException as error:
                    self._slots.release()
                    if not isinstance(error, TimeoutError):
                        raise
                else:
                    task = asyncio.create_task(self._settle(message))
                    self._under_way.add(task)
                    task.add_done_callback(self._settled)
                if self._source.until and asyncio.get_running_loop().time() >= look_at:
                    look_at += FETCH_SECONDS
                    if await self._is_over(subscription):
                        return
        finally:
            await subscription.unsubscribe()  # so that JetStream gives no event to this process any more

    async def _subscribe(self) -> JetStreamContext.PullSubscription:
        """Create the consumer if it is missing, and bind to it."""
        config = ConsumerConfig(
            name=self._source.consumer,
            durable_name=self._source.consumer,
            filter_subjects=list(self._source.subjects),
            deliver_policy=DeliverPolicy.BY_START_TIME,
            opt_start_time=self._source.since,
            ack_wait=self._settings.webhooks_timeout_seconds + ACK_MARGIN_SECONDS,
            max_deliver=ATTEMPTS,
            max_ack_pending=MOST_WAITING,
            inactive_threshold=FORGOTTEN_SECONDS,
        )
        await self._jetstream.add_consumer(STREAM, config)
        return await self._jetstream.pull_subscribe_bind(self._source.consumer, STREAM)

    async def _is_over(self, subscription: JetStreamContext.PullSubscription) -> bool:
        """Whether every event of a replay is settled; then remove the replay from the endpoint."""
        info = await subscription.consumer_info()
        if self._under_way or info.num_ack_pending or (info.num_pending and not self._past_end):
            return False
        until = self._source.until

        def finish(webhook: StoredWebhook) -> StoredWebhook:
            over = webhook.replay is not None and webhook.replay.until == until
            return webhook.model_copy(update={"replay": None}) if over else webhook

        await self._store.change(self._source.webhook_id, finish)
        return True

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._slots.release()
        if not task.cancelled() and (error := task.exception()):
            reason = type(error).__name__
            log.warning("webhook_waits", webhook=self._source.webhook_id, reason=reason)

    async def _settle(self, message: Msg) -> None:
        """Deliver an event once, and tell JetStream whether to give it out again."""
        metadata = message.metadata
        if self._source.until and metadata.timestamp > self._source.until:
            self._past_end = True
            await message.ack()
            return
        try:
            event = read_event(message.headers or {}, message.data)
            webhook = await self._store.get(self._source.webhook_id)
        except (InvalidRequest, NoSuchWebhook):  # InvalidRequest: a type that this release does not know yet
            await message.term()
            return
        if webhook.disabledAt:
            await message.term()
            return
        attempt = metadata.num_delivered
        try:
            delivery = await self._sender.send(
                webhook, id=event.event_id, event_type=_type(event), body=body_of(event), attempt=attempt
            )
        except asyncio.CancelledError:
            await message.nak()
            raise
        await self._decide(message, delivery, attempt)
        place = f"{'r' if self._source.until else ''}{metadata.sequence.consumer % KEPT_DELIVERIES}"
        await self._store.record(webhook.id, place, delivery)

    async def _decide(self, message: Msg, delivery: Delivery, attempt: int) -> None:
        webhook_id = self._source.webhook_id
        if delivery.succeeded:
            outcome = "delivered"
            await message.ack()
        elif delivery.status == GONE:
            outcome = "gone"
            await self._store.change(
                webhook_id, lambda webhook: webhook.model_copy(update={"disabledAt": now()})
            )
            await message.term()
            log.warning("webhook_disabled", webhook=webhook_id)
        elif attempt >= ATTEMPTS:
            outcome = "given_up"
            await message.term()
            log.warning("webhook_given_up", webhook=webhook_id, event_id=delivery.id)
        else:
            outcome = "retried"
            await message.nak(retry_delay(attempt, self._settings.webhooks_first_retry_seconds))
        DELIVERIES.labels(outcome).inc()


def _type(event: BookingEvent) -> str:
    return f"appointment.{event.type}"


def body_of(event: BookingEvent) -> str:
    """Return the body of a delivery: the event's type, time and data."""
    data = event.body().decode()
    return f'{{"type":"{_type(event)}","timestamp":"{format_instant(event.at)}","data":{data}}}'
