"""Both services called by hand, on real servers: for moments that no caller can time."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from redis.asyncio import Redis

from booking_worker.cancels import Cancels
from booking_worker.decisions import Decisions
from booking_worker.intents import Intents
from booking_worker.moves import Moves
from booking_worker.reads import ReadService
from booking_worker.service import BookingService
from booking_worker.writes import Writes
from hold_worker.service import HoldService
from shared.domain.booking import Booking
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.stores.mongo import connection as mongodb
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.changes import ChangeStore
from shared.stores.mongo.schema import Schema
from shared.stores.mongo.windows import WindowStore
from shared.stores.mongo.writes import Written
from shared.stores.redis.connection import connect_redis
from shared.stores.redis.held import HeldStore
from shared.stores.redis.holds import HoldStore
from shared.stores.redis.intents import IntentStore
from shared.stores.redis.scripts import Scripts
from shared.stores.redis.servers import One
from tests.servers import Servers


@dataclass
class UseCases:
    """Both services on one database and one Redis."""

    database: mongodb.Database
    intents: Intents
    bookings: BookingService
    reads: ReadService
    holds: HoldService
    hold_store: HoldStore
    schema: Schema
    redis: Redis


@contextmanager
def lost_inserts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inserts that are sent while the context lasts are not answered, and not carried out."""

    async def lose(_store: BookingStore, bookings: Sequence[Booking], **_: Any) -> list[Written]:
        return [Written.UNKNOWN] * len(bookings)

    with monkeypatch.context() as patch:
        patch.setattr(BookingStore, "insert_many", lose)
        yield


@asynccontextmanager
async def use_cases_on(servers: Servers, *, slot_minutes: int) -> AsyncIterator[UseCases]:
    """On a database of their own."""
    with servers.new_stack() as stack:
        database, redis = mongodb.connect(stack.env["MONGO_URI"]), connect_redis(stack.env["REDIS_URL"])
        schema, scripts, bookings = (
            Schema(database, slot_minutes),
            Scripts(One(redis)),
            BookingStore(database),
        )
        holds = HoldStore(scripts, hold_ms=5000, max_ms=5000)
        await schema.wait_until_verified()
        writes, intents = Writes(bookings, ChangeStore(database), schema), Intents(IntentStore(scripts))
        grid, digests = Grid(slot_minutes), Digests(schema.secret)
        yield UseCases(
            database,
            intents,
            BookingService(
                Decisions(bookings, writes, intents),
                Cancels(bookings, writes),
                Moves(bookings, writes, intents, grid, digests),
                schema=schema,
                grid=grid,
                digests=digests,
            ),
            ReadService(bookings, WindowStore(database, bookings, grid), HeldStore(scripts, grid), grid),
            HoldService(bookings, holds, schema, grid, digests),
            holds,
            schema,
            redis,
        )
        await intents.drain()
        await redis.aclose()
        mongodb.close(database)
