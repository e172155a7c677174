"""How every process of the system connects to NATS: for good, and saying so when it is cut off."""

from typing import Any

import structlog

RECONNECT_SECONDS = 0.25
PING_SECONDS = 3
log = structlog.get_logger()


def nats_options(url: str, name: str) -> dict[str, Any]:
    """Options for `nats.aio.client.Client.connect` and `NatsBroker`; `url` may be a comma-separated list.

    The default gives up after 60 attempts and leaves a live process with a dead connection: never here.
    """
    return {
        "servers": [part.strip() for part in url.split(",")],
        "name": name,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": RECONNECT_SECONDS,
        # A connection that is cut without a word is noticed within seconds; the default takes minutes.
        "ping_interval": PING_SECONDS,
        "max_outstanding_pings": 2,
        "disconnected_cb": _disconnected,
        "reconnected_cb": _reconnected,
        "error_cb": _failed,
    }


async def _disconnected() -> None:
    log.warning("nats_disconnected")


async def _reconnected() -> None:
    log.info("nats_reconnected")


async def _failed(error: Exception) -> None:
    # A server that is away comes back by itself; one that refuses the connection needs a person.
    level = log.debug if isinstance(error, OSError) else log.warning
    level("nats_error", error=type(error).__name__)
