"""Wire the relay."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from booking_worker.events.client_consumers import keep_client_consumers, watch_keys
from booking_worker.events.publisher import NOTHING_BUFFERED, EventPublisher
from booking_worker.events.reconcile import Reconciliation
from booking_worker.events.relay import Relay
from booking_worker.privacy.retention import retain_daily
from shared.contract.replies import OK
from shared.process import settings
from shared.process.gateway_settings import AccessSettings
from shared.process.nats_process import connected
from shared.process.nats_wire import GuardedClient
from shared.process.tasks import run_until_cancelled
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.answered import Unanswered
from shared.stores.mongo.connection import Database, is_standalone
from shared.stores.mongo.meta import is_settled

NAME = "relay"
LOOK_SECONDS = 0.5
STANDALONE = "ok: no events, which need a replica set; this MongoDB is standalone"

log = structlog.get_logger()


@asynccontextmanager
async def relay(fail: Callable[[], None]) -> AsyncIterator[None]:
    """Publish events and erase old data while the context lasts; call `fail` if it cannot any more."""
    events = settings.load(settings.EventSettings)
    days = settings.load(settings.RetentionSettings).retain_names_days
    access = settings.load(settings.NatsSettings).nats_access
    keys_file = settings.load(AccessSettings).api_keys_file
    keys = watch_keys(keys_file) if keys_file and access else None
    database = mongodb.connect(settings.load(settings.MongoSettings).mongo_uri)
    connection = GuardedClient()
    publisher = EventPublisher(connection, events)
    reconciliation = Reconciliation(database, connection, publisher, max_age=events.max_age)
    leader = Relay(database, publisher, reconciliation)
    standalone = False

    def checks() -> dict[str, str]:
        return {"events": STANDALONE if standalone else leader.problem or OK}

    try:
        async with connected(connection, NAME, checks, fail, pending_size=NOTHING_BUFFERED):
            await _wait_until_settled(database)
            standalone = await is_standalone(database)
            work = [retain_daily(database, days)] if days else []
            if standalone:
                log.warning("no_events", reason=STANDALONE)
            else:
                work.append(leader.run())
                if keys:
                    work.append(keep_client_consumers(connection, keys))
            tasks = [run_until_cancelled(each, fail) for each in work]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        mongodb.close(database)


async def _wait_until_settled(database: Database) -> None:
    """Wait until a booking worker has set up the database, however long that takes."""
    while True:
        with suppress(Unanswered):
            if await is_settled(database):
                return
        await asyncio.sleep(LOOK_SECONDS)
