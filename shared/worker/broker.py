"""The FastStream broker of a worker: it serves while its context lasts, and drains at the end."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from faststream.nats import NatsBroker

from shared.connection import nats_options
from shared.settings import NatsSettings
from shared.worker.answering import Desk


@asynccontextmanager
async def serve(
    name: str, settings: NatsSettings, register: Callable[[NatsBroker], None]
) -> AsyncIterator[None]:
    """Subscribe the handlers that `register` declares, and answer every command they are sent."""
    desk = Desk(default_timeout=settings.request_timeout_seconds)
    broker = NatsBroker(
        **nats_options(settings.nats_url, name),
        middlewares=(desk.middleware,),
        logger=None,  # its own lines quote exception texts, which could quote a name
        apply_types=False,  # commands come decoded and valid; to check them again costs more than the handler
    )
    register(broker)
    await broker.start()
    try:
        yield
    finally:
        await desk.drain(broker)
        await broker.stop()
