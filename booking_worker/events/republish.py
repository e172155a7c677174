"""Publish old events again, under the same ids, for consumers that have to begin anew."""

import asyncio
from datetime import datetime

from rich.console import Console
from rich.progress import Progress

from booking_worker.events.publisher import NOTHING_BUFFERED, EventPublisher
from booking_worker.events.reconcile import Reconciliation
from shared.process import settings
from shared.process.nats_options import NatsOptions
from shared.process.nats_wire import GuardedClient
from shared.stores.mongo import connection as mongodb

CONNECT_SECONDS = 10.0


async def republish(since: datetime) -> int:
    """Publish the events of all changes since a moment; return how many.

    Raises:
        Misconfigured, Unanswered, Unpublished
    """
    events = settings.load(settings.EventSettings)
    nats = settings.load(settings.NatsSettings)
    options = NatsOptions(nats.nats_url, "republish", tls=nats.tls(), access=nats.nats_access)
    database = mongodb.connect(settings.load(settings.MongoSettings).mongo_uri)
    connection = GuardedClient()
    try:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.connect(**options.connect, pending_size=NOTHING_BUFFERED)
        except TimeoutError:
            problem = options.refusal or "no NATS server answers"
            raise settings.Misconfigured(f"NATS_URL: {problem}") from None
        publisher = EventPublisher(connection, events)
        if not await publisher.has_stream():
            await publisher.create_stream()
        reconciliation = Reconciliation(database, connection, publisher, max_age=events.max_age)
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task("Publishing events", total=None)
            await reconciliation.publish_again(since, lambda count: progress.advance(task, count))
            return int(progress.tasks[0].completed)
    finally:
        options.closing = True
        await connection.close()
        mongodb.close(database)
