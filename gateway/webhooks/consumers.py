"""Reads the events of one endpoint, and delivers them.

Each endpoint has a durable consumer of its own, so a slow endpoint delays no other. All processes pull from
the same consumers, and JetStream gives each event to one of them. If a process took an event and was killed,
JetStream gives it to another one `ACK_MARGIN_SECONDS` after the longest time of an attempt.
"""

import asyncio
from contextlib import suppress

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from gateway.webhooks.delivery import ATTEMPTS, DELIVERIES, Sender, retry_delay
from gateway.webhooks.endpoints import StoredWebhook, now
from gateway.webhooks.messages import Delivery
from gateway.webhooks.sources import Source
from gateway.webhooks.store import KEPT_DELIVERIES, WebhookStore
from shared.contract.errors import InvalidRequest, NoSuchWebhook, Refused
from shared.contract.events import STREAM, BookingEvent, read_event
from shared.contract.instants import format_instant
from shared.process.gateway_settings import WebhookSettings

ACK_MARGIN_SECONDS = 5.0
FETCH_SECONDS = 5.0
RETRY_SECONDS = 1.0
AT_ONCE = 8
"""Deliveries that a process makes at a time to one endpoint."""
GONE = 410

log = structlog.get_logger()


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
        self._under_way: set[asyncio.Task[None]] = set()
        self._past_end = False
        self._stopping = False

    def stop(self, running: asyncio.Task[None]) -> None:
        """Cancel `run`, whose task is given.

        nats-py may swallow the cancellation: its `wait_for`, before Python 3.12, drops one that comes with an
        answer. So `run` looks at `_stopping` too.
        """
        self._stopping = True
        running.cancel()

    async def run(self, drain_seconds: float) -> None:
        """Deliver, until cancelled; then finish the deliveries under way, for at most `drain_seconds`.

        Other processes make the deliveries that are not finished by then.
        """
        try:
            while not self._stopping:
                try:
                    await self._consume()
                    if not self._stopping:
                        await asyncio.Future()  # the replay is over: until this is cancelled
                except (NatsError, TimeoutError, Refused) as error:
                    if not self._stopping:
                        self._log_wait(error)
                        await asyncio.sleep(RETRY_SECONDS)
            raise asyncio.CancelledError
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
        """Read and deliver; return when a replay is over, or to stop."""
        subscription = await self._subscribe()
        look_at = asyncio.get_running_loop().time() + FETCH_SECONDS
        try:
            while not self._stopping:
                while len(self._under_way) >= AT_ONCE:
                    await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
                with suppress(TimeoutError):
                    (message,) = await subscription.fetch(1, FETCH_SECONDS)
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
        ack_seconds = self._settings.webhooks_timeout_seconds + ACK_MARGIN_SECONDS
        await self._jetstream.add_consumer(STREAM, self._source.config(ack_seconds))
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

    def _log_wait(self, error: BaseException) -> None:
        log.warning("webhook_waits", webhook=self._source.webhook_id, reason=type(error).__name__)

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._log_wait(error)

    async def _settle(self, message: Msg) -> None:
        """Deliver an event once, and settle it or have JetStream give it out again."""
        metadata = message.metadata
        if self._source.until and metadata.timestamp > self._source.until:
            self._past_end = True
            await message.ack()
            return
        try:
            event = read_event(message.headers or {}, message.data)
            webhook = await self._store.get(self._source.webhook_id)
            if webhook.disabledAt:
                raise NoSuchWebhook
        except (InvalidRequest, NoSuchWebhook):  # InvalidRequest: a type that this release does not know yet
            await message.term()
            return
        attempt = min(metadata.num_delivered, ATTEMPTS)
        try:
            delivery = await self._sender.send(
                webhook, id=event.event_id, event_type=event.full_type, body=body_of(event), attempt=attempt
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


def body_of(event: BookingEvent) -> str:
    """Return the body of a delivery: the event's type, time and data."""
    data = event.body().decode()
    return f'{{"type":"{event.full_type}","timestamp":"{format_instant(event.at)}","data":{data}}}'
