"""Wiring of the booking worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from booking_worker.handlers import register
from booking_worker.service import BookingService
from shared.contract.subjects import BOOKING_GROUP
from shared.process.settings import NatsSettings, load
from shared.worker.broker import serve
from shared.worker.resources import open_stores


@asynccontextmanager
async def booking_worker() -> AsyncIterator[None]:
    """Serves bookings while the context lasts."""
    nats = load(NatsSettings)
    async with open_stores() as stores:
        service = BookingService(stores.bookings, stores.intents, stores.schema, stores.grid, stores.digests)
        handlers = partial(register, service=service, ask_readiness=stores.readiness)
        async with serve(BOOKING_GROUP, nats, handlers):
            yield
