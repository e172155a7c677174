"""Wiring of the hold worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from hold_worker.handlers import register
from hold_worker.service import HoldService
from shared.contract.subjects import HOLD_GROUP
from shared.process.settings import NatsSettings, load
from shared.worker.broker import serve
from shared.worker.resources import open_stores


@asynccontextmanager
async def hold_worker() -> AsyncIterator[None]:
    """Serves holds while the context lasts."""
    nats = load(NatsSettings)
    async with open_stores() as stores:
        service = HoldService(stores.bookings, stores.holds, stores.schema, stores.grid, stores.digests)
        handlers = partial(register, service=service, ask_readiness=stores.readiness)
        async with serve(HOLD_GROUP, nats, handlers):
            yield
