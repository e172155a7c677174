"""Starts the gateway: `python -m gateway`."""

import asyncio
import signal
import socket

import uvloop

from gateway.app import create_gateway
from gateway.http.server import HttpServer
from shared.process.garbage import tune_gc
from shared.process.health import bind_health
from shared.process.listening import bind
from shared.process.logs import configure_logs
from shared.process.metrics import tell_build
from shared.process.settings import (
    GatewaySettings,
    LogSettings,
    Misconfigured,
    NatsSettings,
    WebhookSettings,
    load,
)


def main() -> None:
    """Serve HTTP until SIGTERM or SIGINT, then finish what is in flight.

    Raises:
        Misconfigured: a setting is wrong, or the port is taken.
        SystemExit: it cannot serve any more, for NATS has closed the connection for good.
    """
    configure_logs(load(LogSettings), "gateway")
    tell_build("gateway")
    settings, nats, webhooks = load(GatewaySettings), load(NatsSettings), load(WebhookSettings)
    listener = bind(settings.host, settings.port, variable="PORT", share=settings.share_port)
    health = bind_health(settings.host, settings.health_port, variable="HEALTH_PORT")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        told_to_stop = runner.run(_serve(listener, health, nats, webhooks))
    if not told_to_stop:
        raise SystemExit(1)


async def _serve(
    listener: socket.socket, health: socket.socket | None, nats: NatsSettings, webhooks: WebhookSettings
) -> bool:
    """Serve, and say whether it was a signal that ended it."""
    told, cut_off = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    server = HttpServer(create_gateway(nats, cut_off.set, health, webhooks), listener)
    tune_gc()
    await server.serve_until(told, cut_off, drain_seconds=nats.drain_seconds)
    return told.is_set() and not cut_off.is_set()


if __name__ == "__main__":
    try:
        main()
    except Misconfigured as error:
        raise SystemExit(str(error)) from None
