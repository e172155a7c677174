"""Wire the gateway, which translates HTTP into NATS requests. It keeps no state and decides nothing."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, nullcontext
from functools import partial

import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp

from gateway.access.access import Access
from gateway.access.origins import share_with
from gateway.api.calls import HotCalls
from gateway.api.routes import register
from gateway.calendars import routes as calendars
from gateway.docs.document import DESCRIPTION, TITLE, DocumentedApi
from gateway.docs.pages import add_pages
from gateway.http import health
from gateway.http.errors import install_error_handlers
from gateway.http.metrics import CLIENT
from gateway.http.middleware import RequestMiddleware
from gateway.live import route as live_route
from gateway.live.slots import LiveSlots
from gateway.sms import route as sms_route
from gateway.sms import simulator
from gateway.sms.options import SmsOptions
from gateway.web import routes as web
from gateway.webhooks import calls as webhook_calls
from gateway.webhooks import routes as webhooks
from shared.client.command_client import CommandClient
from shared.contract.version import VERSION
from shared.process.gateway_settings import WebhookSettings
from shared.process.health import health_server
from shared.process.settings import NatsSettings

log = structlog.get_logger()


def create_gateway(
    nats: NatsSettings,
    on_cut_off: Callable[[], None],
    access: Access,
    *,
    health_listener: socket.socket | None = None,
    live: LiveSlots | None = None,
    webhook_settings: WebhookSettings | None = None,
    allowed_hosts: Collection[bytes] = frozenset(),
    page_key: str = "",
    sms: SmsOptions | None = None,
    demo_pages: bool = False,
) -> ASGIApp:
    """Create the gateway. It starts without NATS too, and answers 503 until NATS is reachable.

    Args:
        nats: the server, and the time for a request.
        on_cut_off: called if NATS refuses the connection or has closed it permanently.
        access: identifies callers.
        health_listener: the socket of `HEALTH_PORT`, if that is set; the same health checks answer there.
        allowed_hosts: the names that the header `Host` of a request may have; empty: any.
        page_key: the publishable key of the pages.
        sms: the channel of text messages; None: there is none.
        demo_pages: whether there are pages of a demonstration.
    """
    app = create_app(
        nats,
        on_cut_off,
        access,
        health_listener=health_listener,
        live=live,
        webhook_settings=webhook_settings,
        page_key=page_key,
        sms=sms,
        demo_pages=demo_pages,
    )
    gateway = RequestMiddleware(
        app,
        HotCalls(app.state).find,
        streams={live_route.LIVE},
        allowed_hosts=allowed_hosts,
        identify=access.identify,
    )
    return share_with(access.origins, gateway) if access.origins else gateway


def create_app(
    nats: NatsSettings,
    on_cut_off: Callable[[], None] = lambda: None,
    access: Access | None = None,
    *,
    health_listener: socket.socket | None = None,
    live: LiveSlots | None = None,
    webhook_settings: WebhookSettings | None = None,
    page_key: str = "",
    sms: SmsOptions | None = None,
    demo_pages: bool = False,
) -> FastAPI:
    """Create the documented API, which lacks only the services of `RequestMiddleware`."""
    live = live or LiveSlots()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        client = CommandClient(
            nats.nats_url,
            timeout=nats.request_timeout_seconds,
            name="gateway",
            tls=nats.tls(),
            access=nats.nats_access,
            on_closed=on_cut_off,
        )
        connecting = asyncio.create_task(_connect(client, on_cut_off))
        app.state.client = live.client = client
        CLIENT.statistics = client.statistics
        async with (
            access.running() if access else nullcontext(),
            health_server(health_listener, partial(health.ask_readiness, app.state), on_cut_off),
        ):
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
        models=webhook_calls.MODELS,
        tags=[webhook_calls.TAG],
    )
    app.state.links = access.links if access else None
    install_error_handlers(app)
    calendars.register(app)
    register(app)
    live_route.register(app, live)
    webhooks.register(app, webhook_settings or WebhookSettings())
    app.include_router(health.router)
    add_pages(app)
    origins = access.origins if access else ()
    has_phone = sms is not None and sms.simulator
    web.register(app, page_key, origins, demo_pages=demo_pages, has_phone=has_phone)
    if sms is not None:
        _add_sms(app, sms)
    return app


def _add_sms(app: FastAPI, sms: SmsOptions) -> None:
    sms.channel.app_state = app.state
    if sms.auth_token is not None:
        sms_route.register(app, sms.channel, sms.auth_token, sms.public_url)
    if sms.simulator:
        simulator.register(app, sms.channel)


async def _connect(client: CommandClient, on_cut_off: Callable[[], None]) -> None:
    try:
        await client.connect()
    except Exception as error:
        log.error("nats_cannot_be_used", error=type(error).__name__)
        on_cut_off()
