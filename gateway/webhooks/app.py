"""Wiring of a process that delivers webhooks."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from gateway.webhooks.consumers import EndpointConsumer
from gateway.webhooks.delivery import Sender
from gateway.webhooks.endpoints import StoredWebhook, now
from gateway.webhooks.messages import TEST_SUBJECT
from gateway.webhooks.sources import Source, sources_of
from gateway.webhooks.store import WebhookStore
from shared.contract.envelope import Reply, refusal
from shared.contract.errors import Refused
from shared.contract.fields import random_uuid
from shared.contract.instants import format_instant
from shared.contract.replies import OK
from shared.process import settings
from shared.process.gateway_settings import WebhookSettings
from shared.process.nats_process import connected
from shared.process.nats_wire import GuardedClient
from shared.process.tasks import run_until_cancelled

NAME = "webhooks"
TEST_TYPE = "webhook.test"
LOOK_SECONDS = 0.5
"""How soon a process notices a change of an endpoint."""
HAND_OVER_SECONDS = 1.0
"""The part of the drain time in which a process leaves unfinished deliveries to others."""
UNREADABLE = "JetStream does not answer"

log = structlog.get_logger()


@asynccontextmanager
async def webhooks(fail: Callable[[], None]) -> AsyncIterator[None]:
    """Deliver while the context lasts; call `fail` where that is not possible any more."""
    connection = GuardedClient()
    deliveries = Deliveries(
        connection,
        settings.load(WebhookSettings),
        replicas=settings.load(settings.EventSettings).events_replicas,
        drain_seconds=settings.load(settings.NatsSettings).drain_seconds,
        fail=fail,
    )
    try:
        async with connected(connection, NAME, lambda: {"webhooks": deliveries.problem or OK}, fail):
            await connection.subscribe(TEST_SUBJECT, queue=NAME, cb=deliveries.on_test)
            following = run_until_cancelled(deliveries.follow(), fail)
            try:
                yield
            finally:
                following.cancel()
                await deliveries.stop()
    finally:
        await deliveries.close()


class Deliveries:
    """Runs a consumer per endpoint, and sends test deliveries."""

    def __init__(
        self,
        connection: Client,
        webhook_settings: WebhookSettings,
        *,
        replicas: int,
        drain_seconds: float,
        fail: Callable[[], None],
    ) -> None:
        self.problem: str | None = "not read yet"
        self._connection = connection
        self._settings = webhook_settings
        self._replicas = replicas
        self._drain_seconds = drain_seconds
        self._fail = fail
        self._store = WebhookStore(connection.jetstream())
        self._sender = Sender(webhook_settings)
        self._running: dict[Source, tuple[EndpointConsumer, asyncio.Task[None]]] = {}
        self._background: set[asyncio.Task[None]] = set()

    async def follow(self) -> None:
        """Start and end consumers as endpoints are created, changed and deleted."""
        seen: int | None = None
        while True:
            try:
                if seen is None:
                    await self._store.create_buckets(self._replicas)
                revision = await self._store.revision()
                if revision != seen:
                    self._reconcile(await self._store.all())
                seen, self.problem = revision, None
            except Refused as error:
                if self.problem != UNREADABLE:
                    log.warning("webhooks_unreadable", reason=type(error).__name__)
                seen, self.problem = None, UNREADABLE
            await asyncio.sleep(LOOK_SECONDS)

    async def stop(self) -> None:
        """Take no more events, and wait for the deliveries under way."""
        tasks = [task for _, task in self._running.values()]
        for consumer, task in self._running.values():
            consumer.stop(task)
        if ending := {*tasks, *self._background}:
            await asyncio.wait(ending, timeout=self._drain_seconds)

    async def close(self) -> None:
        await self._sender.close()

    async def on_test(self, message: Msg) -> None:
        """Make a test delivery to the endpoint that a message names, and answer with the `Delivery`."""
        self._start(self._test(message))

    async def _test(self, message: Msg) -> None:
        try:
            webhook = await self._store.get(message.data.decode())
        except Refused as error:
            await self._respond(message, refusal(error))
            return
        body = f'{{"type":"{TEST_TYPE}","timestamp":"{format_instant(now())}","data":{{}}}}'
        delivery = await self._sender.send(
            webhook, id=f"test_{random_uuid()}", event_type=TEST_TYPE, body=body, attempt=1
        )
        await self._respond(message, Reply(delivery))
        await self._store.record(webhook.id, "test", delivery)

    async def _respond(self, message: Msg, reply: Reply[Any]) -> None:
        payload, headers = reply.to_wire()
        await self._connection.publish(message.reply, payload, headers=headers)

    def _reconcile(self, endpoints: list[StoredWebhook]) -> None:
        wanted = {source for webhook in endpoints for source in sources_of(webhook)}
        for source in self._running.keys() - wanted:
            self._start(self._end(*self._running.pop(source)))
        for source in wanted - self._running.keys():
            consumer = EndpointConsumer(source, self._connection, self._store, self._sender, self._settings)
            task = run_until_cancelled(consumer.run(self._drain_seconds - HAND_OVER_SECONDS), self._fail)
            self._running[source] = consumer, task

    async def _end(self, consumer: EndpointConsumer, task: asyncio.Task[None]) -> None:
        consumer.stop(task)
        await asyncio.wait({task})
        await consumer.delete()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, Refused | NatsError):
            log.warning("webhooks_unreadable", reason=type(error).__name__)
        else:
            log.error("webhook_task_failed", exc_info=error)
