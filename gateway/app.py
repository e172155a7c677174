"""Wiring of the gateway: HTTP in, NATS request out, HTTP back. It keeps no state and decides nothing."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog
from fastapi import FastAPI

from gateway.api import calls
from gateway.docs.document import DESCRIPTION, TITLE, DocumentedApi
from gateway.docs.pages import add_pages
from gateway.http import health
from gateway.http.errors import install_error_handlers
from gateway.http.metrics import CLIENT
from gateway.http.middleware import RequestMiddleware
from gateway.webhooks import routes as webhooks
from shared.client.command_client import CommandClient
from shared.contract.version import VERSION
from shared.process.health import health_server
from shared.process.settings import NatsSettings, WebhookSettings

log = structlog.get_logger()


def create_gateway(
    nats: NatsSettings,
    on_cut_off: Callable[[], None],
    health_listener: socket.socket | None = None,
    webhook_settings: WebhookSettings | None = None,
) -> RequestMiddleware:
    """The gateway. It starts without NATS too, and answers 503 until NATS is there.

    `on_cut_off` is called where it will not be: it refuses the connection, or has closed it for good.
    Health is answered on `health_listener` too, if there is one.
    """
    app = create_app(nats, on_cut_off, health_listener, webhook_settings)
    return RequestMiddleware(app, calls.HotCalls(app.state))


def create_app(
    nats: NatsSettings,
    on_cut_off: Callable[[], None] = lambda: None,
    health_listener: socket.socket | None = None,
    webhook_settings: WebhookSettings | None = None,
) -> FastAPI:
    """The API, declared and documented. It answers by itself too, but for what `RequestMiddleware` does."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        client = CommandClient(
            nats.nats_url, timeout=nats.request_timeout_seconds, name="gateway", on_closed=on_cut_off
        )
        connecting = asyncio.create_task(_connect(client, on_cut_off))
        app.state.client = client
        CLIENT.statistics = client.statistics
        async with health_server(health_listener, partial(health.ask_readiness, app.state), on_cut_off):
            yield
        connecting.cancel()
        await client.close()

    app = DocumentedApi(
        title=TITLE,
        version=VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    install_error_handlers(app)
    calls.register(app)
    webhooks.register(app, webhook_settings or WebhookSettings())
    app.include_router(health.router)
    add_pages(app)
    return app


async def _connect(client: CommandClient, on_cut_off: Callable[[], None]) -> None:
    try:
        await client.connect()
    except Exception as error:
        log.error("nats_cannot_be_used", error=type(error).__name__)
        on_cut_off()
