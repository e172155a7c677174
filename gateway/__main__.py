"""Starts the gateway: `python -m gateway`."""

from contextlib import suppress

import uvicorn

from gateway.app import create_app
from shared.process.listening import bind
from shared.process.logs import configure_logs
from shared.process.settings import GatewaySettings, LogSettings, Misconfigured, NatsSettings, load

STOP_SECONDS = 8
# Longer than clients keep theirs, or a request may meet the closing of its connection.
KEEP_ALIVE_SECONDS = 75


def main() -> None:
    """Serve HTTP until SIGTERM or SIGINT, then finish what is in hand."""
    configure_logs(load(LogSettings), "gateway")
    settings = load(GatewaySettings)
    app = create_app(load(NatsSettings))
    listener = bind(settings.host, settings.port, variable="PORT")
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=STOP_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    with suppress(KeyboardInterrupt):  # uvicorn raises it again, once it has stopped
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    try:
        main()
    except Misconfigured as error:
        raise SystemExit(str(error)) from None
