"""Wiring of the booking worker."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from booking_worker.decisions import Decisions
from booking_worker.handlers import register
from booking_worker.service import BookingService
from shared.contract.subjects import BOOKING_GROUP
from shared.process.settings import NatsSettings, load
from shared.worker.broker import WorkerBroker
from shared.worker.dependencies import open_stores


@asynccontextmanager
async def booking_worker(fail: Callable[[], None]) -> AsyncIterator[None]:
    """Serves bookings while the context lasts; `fail` is called where it cannot any more."""
    broker = WorkerBroker(BOOKING_GROUP, load(NatsSettings), fail)
    async with open_stores(broker.problem) as stores:
        decisions = Decisions(stores.bookings, stores.intents, stores.schema)
        service = BookingService(stores.bookings, decisions, stores.schema, stores.grid, stores.digests)
        handlers = partial(register, service=service, ask_readiness=stores.readiness)
        async with broker.serve(handlers):
            yield
        await decisions.drain()
