"""Wiring of the booking worker."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from booking_worker.bookings.book import Booker
from booking_worker.bookings.cancel import Canceller
from booking_worker.bookings.intents import Intents
from booking_worker.bookings.lately_booked import LatelyBooked
from booking_worker.bookings.move import Mover
from booking_worker.bookings.service import BookingService
from booking_worker.bookings.writes import Writes
from booking_worker.handlers import handlers
from booking_worker.reads.service import ReadService
from shared.contract.operations import BOOKING_GROUP, BOOKING_READY
from shared.process.settings import NatsSettings, load
from shared.worker.broker import WorkerBroker
from shared.worker.dependencies import open_stores
from shared.worker.duty import Duty


@asynccontextmanager
async def booking_worker(fail: Callable[[], None]) -> AsyncIterator[None]:
    """Serves bookings while the context lasts; `fail` is called where it cannot any more."""
    broker = WorkerBroker(BOOKING_GROUP, load(NatsSettings), fail)
    async with open_stores(broker.problem, fail) as stores:
        intents, lately = Intents(stores.intents, broker.hints), LatelyBooked()
        writes = Writes(stores.bookings, stores.changes, stores.schema)
        service = BookingService(
            Booker(stores.bookings, writes, intents, lately),
            Canceller(stores.bookings, writes),
            Mover(stores.bookings, writes, intents, lately=lately, grid=stores.grid, digests=stores.digests),
            schema=stores.schema,
            grid=stores.grid,
            digests=stores.digests,
        )
        reads = ReadService(stores.bookings, stores.windows, stores.held, stores.grid)
        duty = Duty(stores.schema, stores.redis, stores.readiness)
        async with broker.serve(handlers(service, reads), BOOKING_READY, duty):
            yield
        await intents.drain()
