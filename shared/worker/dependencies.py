"""Open the stores of a worker, verify them before it serves, watch them while it serves, and close them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shared.contract.replies import OK, Readiness
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.process import settings
from shared.process.health import bind_health, health_server
from shared.process.tasks import run_until_cancelled
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.schedule_cache import ScheduleCache
from shared.stores.mongo.schedules import ScheduleStore
from shared.stores.mongo.schema import Schema
from shared.stores.mongo.windows import WindowStore
from shared.stores.mongo.writes import BookingWrites
from shared.stores.redis.hold_index import HoldIndex
from shared.stores.redis.holds import HoldStore
from shared.stores.redis.intents import IntentStore
from shared.stores.redis.servers import open_redis
from shared.stores.redis.watch import RedisWatch


@dataclass(frozen=True)
class Stores:
    """The stores and settings of a worker's use cases."""

    bookings: BookingStore
    writes: BookingWrites
    windows: WindowStore
    schedules: ScheduleStore
    schedule_cache: ScheduleCache
    holds: HoldStore
    held: HoldIndex
    intents: IntentStore
    redis: RedisWatch
    schema: Schema
    grid: Grid
    nats_problem: Callable[[], str | None]

    @property
    def digests(self) -> Digests:
        """Available once the schema is verified."""
        return Digests(self.schema.secret)

    async def readiness(self) -> Readiness:
        """Check NATS, MongoDB with its indexes, Redis, and the clock of this host."""
        checks = {
            "nats": self.nats_problem() or OK,
            "mongodb": self.schema.problem or OK,
            "redis": self.redis.problem or OK,
            "clock": self.schema.clock_problem or OK,
        }
        return Readiness(ready=set(checks.values()) == {OK}, checks=checks)


@asynccontextmanager
async def open_stores(
    nats_problem: Callable[[], str | None], fail: Callable[[], None]
) -> AsyncIterator[Stores]:
    """Open the stores that the environment configures. Wait without limit until the indexes are verified.

    Args:
        nats_problem: returns why the worker receives no commands, or None.
        fail: called if a watch of a store ends: the process must then end.

    Raises:
        Misconfigured: a setting is wrong, or differs from the database; the message names the setting.
    """
    worker, holding = settings.load(settings.WorkerSettings), settings.load(settings.HoldSettings)
    grid = Grid(settings.load(settings.GridSettings).slot_minutes)
    database = mongodb.connect(settings.load(settings.MongoSettings).mongo_uri)
    redis = open_redis(settings.load(settings.RedisSettings).redis_url)
    bookings, schema = BookingStore(database), Schema(database, grid.minutes)
    schedules = ScheduleStore(database, bookings)
    stores = Stores(
        bookings,
        BookingWrites(database, bookings, schema),
        WindowStore(database, bookings, grid),
        schedules,
        ScheduleCache(schedules),
        HoldStore(redis, hold_ms=holding.soft_hold_seconds * 1000, max_ms=holding.hold_max_seconds * 1000),
        HoldIndex(redis, grid),
        IntentStore(redis),
        RedisWatch(redis),
        schema,
        grid,
        nats_problem,
    )
    try:
        port = bind_health(worker.host, worker.worker_http_port, variable="WORKER_HTTP_PORT")
        async with health_server(port, stores.readiness, fail):
            try:
                await stores.schema.wait_until_verified()
                await stores.redis.look()
                await stores.schedule_cache.look()
                watched = (stores.schema, stores.redis, stores.schedule_cache)
                watches = [run_until_cancelled(store.watch(), fail) for store in watched]
                try:
                    yield stores
                finally:
                    for watch in watches:
                        watch.cancel()
            finally:
                await stores.schema.give_up_lease()
    finally:
        mongodb.close(database)
        await redis.aclose()
