"""Build the clients and use cases of the booking worker."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from booking_worker.bookings.amend import Amender
from booking_worker.bookings.book import Booker
from booking_worker.bookings.cancel import Canceller
from booking_worker.bookings.intents import IntentClearer
from booking_worker.bookings.lately_booked import LatelyBooked
from booking_worker.bookings.move import Mover
from booking_worker.bookings.service import BookingService
from booking_worker.handlers import handlers
from booking_worker.reads.service import ReadService
from booking_worker.schedules.conflicts import ConflictReader
from booking_worker.schedules.directory import ScheduleDirectory
from booking_worker.schedules.free_slots import FreeSlotFinder
from booking_worker.schedules.handlers import schedule_handlers
from shared.contract.operation import BOOKING_GROUP
from shared.contract.operations import BOOKING_READY
from shared.process.settings import NatsSettings, load
from shared.worker.broker import WorkerBroker
from shared.worker.dependencies import open_stores
from shared.worker.serving_policy import ServingPolicy


@asynccontextmanager
async def booking_worker(fail: Callable[[], None]) -> AsyncIterator[None]:
    """Serve bookings while the context is open. Call `fail` if the worker can never serve again."""
    broker = WorkerBroker(BOOKING_GROUP, load(NatsSettings), fail)
    async with open_stores(broker.problem, fail) as stores:
        intents, writes, lately = stores.intents, stores.writes, LatelyBooked()
        clearer = IntentClearer(intents, broker.hints)
        service = BookingService(
            Booker(stores.bookings, writes, intents, clearer, lately),
            Canceller(stores.bookings, writes, stores.schedule_cache),
            Mover(
                stores.bookings,
                writes,
                intents,
                clearer,
                lately=lately,
                schedules=stores.schedule_cache,
                grid=stores.grid,
                digests=stores.digests,
            ),
            Amender(stores.bookings, writes),
            schema=stores.schema,
            schedules=stores.schedule_cache,
            grid=stores.grid,
            digests=stores.digests,
        )
        reads = ReadService(stores.bookings, stores.windows, stores.held, stores.grid)
        policy = ServingPolicy(stores.schema, stores.redis, stores.readiness)
        schedules = schedule_handlers(
            ScheduleDirectory(stores.schedules),
            FreeSlotFinder(stores.schedule_cache, stores.windows, stores.held, stores.grid),
            ConflictReader(stores.schedules, stores.windows),
        )
        async with broker.serve(handlers(service, reads, schedules), BOOKING_READY, policy):
            yield
        await clearer.drain()
