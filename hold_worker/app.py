"""Wiring of the hold worker."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from hold_worker.handlers import handlers
from hold_worker.service import HoldService
from shared.contract.operations import HOLD_GROUP, HOLD_READY
from shared.process.settings import NatsSettings, load
from shared.worker.broker import WorkerBroker
from shared.worker.dependencies import open_stores
from shared.worker.duty import Duty


@asynccontextmanager
async def hold_worker(fail: Callable[[], None]) -> AsyncIterator[None]:
    """Serves holds while the context lasts; `fail` is called where it cannot any more."""
    broker = WorkerBroker(HOLD_GROUP, load(NatsSettings), fail)
    async with open_stores(broker.problem, fail) as stores:
        service = HoldService(
            stores.bookings,
            stores.holds,
            stores.redis,
            schema=stores.schema,
            grid=stores.grid,
            digests=stores.digests,
        )
        duty = Duty(stores.schema, stores.redis, stores.readiness)
        async with broker.serve(handlers(service), HOLD_READY, duty):
            yield
