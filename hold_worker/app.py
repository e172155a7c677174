"""Build the clients and use cases of the hold worker."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from hold_worker.handlers import handlers
from hold_worker.service import HoldService
from shared.contract.operation import HOLD_GROUP
from shared.contract.operations import HOLD_READY
from shared.process.settings import NatsSettings, load
from shared.worker.broker import WorkerBroker
from shared.worker.dependencies import open_stores
from shared.worker.serving_policy import ServingPolicy


@asynccontextmanager
async def hold_worker(fail: Callable[[], None]) -> AsyncIterator[None]:
    """Serve holds while the context is open. Call `fail` if the worker can never serve again."""
    broker = WorkerBroker(HOLD_GROUP, load(NatsSettings), fail)
    async with open_stores(broker.problem, fail) as stores:
        service = HoldService(
            stores.bookings,
            stores.holds,
            stores.redis,
            schema=stores.schema,
            schedules=stores.schedule_cache,
            grid=stores.grid,
            digests=stores.digests,
        )
        policy = ServingPolicy(stores.schema, stores.redis, stores.readiness)
        async with broker.serve(handlers(service), HOLD_READY, policy):
            yield
