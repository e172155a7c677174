"""Start the gateway: `python -m gateway`."""

import asyncio
import signal
import socket

import uvloop

from gateway.access.access import Access
from gateway.app import create_gateway
from gateway.http.server import HttpServer
from gateway.live.slots import LiveSlots
from gateway.sms.options import SmsOptions, sms_options
from shared.process.garbage import tune_gc
from shared.process.gateway_settings import AccessSettings, GatewaySettings, PublicSettings, WebhookSettings
from shared.process.health import bind_health
from shared.process.listening import bind
from shared.process.logs import configure_logs
from shared.process.message_settings import SmsSettings
from shared.process.metrics import set_build_info
from shared.process.settings import EventSettings, LogSettings, Misconfigured, NatsSettings, load


def main() -> None:
    """Serve HTTP until SIGTERM or SIGINT, then answer the requests in flight.

    Raises:
        Misconfigured: a setting is wrong, or the port is taken.
        SystemExit: the gateway cannot serve any more, because NATS has refused or permanently closed the
            connection, or the HTTP server has ended.
    """
    configure_logs(load(LogSettings), "gateway")
    set_build_info("gateway")
    settings, nats, webhooks = load(GatewaySettings), load(NatsSettings), load(WebhookSettings)
    access_settings = load(AccessSettings)
    access_settings.check_host(settings.host)
    access = Access(access_settings)
    sms = sms_options(load(SmsSettings), load(PublicSettings), load(EventSettings), access_settings)
    listener = bind(settings.host, settings.port, variable="PORT", share=settings.share_port)
    health = bind_health(settings.host, settings.health_port, variable="HEALTH_PORT")
    live = LiveSlots(settings.live_streams_max)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        stopped_by_signal = runner.run(
            _serve(
                listener,
                health,
                nats=nats,
                live=live,
                webhooks=webhooks,
                settings=settings,
                access=access,
                sms=sms,
            )
        )
    if not stopped_by_signal:
        raise SystemExit(1)


async def _serve(
    listener: socket.socket,
    health: socket.socket | None,
    *,
    nats: NatsSettings,
    live: LiveSlots,
    webhooks: WebhookSettings,
    settings: GatewaySettings,
    access: Access,
    sms: SmsOptions | None,
) -> bool:
    """Serve, and return whether a signal alone ended it."""
    stop, cut_off = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    gateway = create_gateway(
        nats,
        cut_off.set,
        access,
        health_listener=health,
        live=live,
        webhook_settings=webhooks,
        allowed_hosts=settings.hosts,
        page_key=settings.page_key,
        sms=sms,
        demo_pages=settings.demo_pages,
    )
    server = HttpServer(gateway, listener, settings.tls_cert_file, settings.tls_key_file)
    tune_gc()
    await server.serve_until(stop, cut_off, drain_seconds=nats.drain_seconds, on_end=live.end)
    return stop.is_set() and not cut_off.is_set()


if __name__ == "__main__":
    try:
        main()
    except Misconfigured as error:
        raise SystemExit(str(error)) from None
