"""Both services called by hand, on real servers: for moments that no caller can time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from booking_worker.decisions import Decisions
from booking_worker.service import BookingService
from hold_worker.service import HoldService
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.schema import Schema
from shared.stores.redis.connection import connect_redis
from shared.stores.redis.holds import HoldStore
from shared.stores.redis.intents import IntentStore
from shared.stores.redis.scripts import Scripts
from tests.servers import Servers


@dataclass
class UseCases:
    """Both services on one database and one Redis."""

    database: mongodb.Database
    bookings: BookingService
    holds: HoldService
    hold_store: HoldStore
    schema: Schema


@asynccontextmanager
async def use_cases_on(servers: Servers, *, slot_minutes: int) -> AsyncIterator[UseCases]:
    """On a database of their own."""
    with servers.new_stack() as stack:
        database, redis = mongodb.connect(stack.env["MONGO_URI"]), connect_redis(stack.env["REDIS_URL"])
        schema, scripts, bookings = Schema(database, slot_minutes), Scripts(redis), BookingStore(database)
        holds = HoldStore(scripts, hold_ms=5000, max_ms=5000)
        await schema.wait_until_verified()
        parts = schema, Grid(slot_minutes), Digests(schema.secret)
        yield UseCases(
            database,
            BookingService(bookings, Decisions(bookings, IntentStore(scripts), schema), *parts),
            HoldService(bookings, holds, *parts),
            holds,
            schema,
        )
        await redis.aclose()
        mongodb.close(database)
