"""How every process of the system connects to NATS: for good, and saying so when it is cut off."""

from typing import Any

import structlog

RECONNECT_SECONDS = 0.25
PING_SECONDS = 3
log = structlog.get_logger()


class NatsOptions:
    """A connection to `url`: a server, or several separated by commas. What becomes of it is logged once."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._told = False
        self.closing = False
        """Set it before closing the connection: that is nothing to warn of."""

    @property
    def connect(self) -> dict[str, Any]:
        """For `nats.aio.client.Client.connect` and `NatsBroker`.

        The default gives up after 60 attempts and leaves a live process with a dead connection: never here.
        """
        return {
            "servers": [part.strip() for part in self._url.split(",")],
            "name": self._name,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": RECONNECT_SECONDS,
            # A connection that is cut without a word is noticed within seconds; the default takes minutes.
            "ping_interval": PING_SECONDS,
            "max_outstanding_pings": 2,
            "disconnected_cb": self._disconnected,
            "reconnected_cb": self._reconnected,
            "error_cb": self._failed,
        }

    async def _disconnected(self) -> None:
        if not self.closing:
            log.warning("nats_disconnected")
            self._told = True

    async def _reconnected(self) -> None:
        log.info("nats_reconnected")
        self._told = False

    async def _failed(self, error: Exception) -> None:
        # A server that is away is tried again at once; one that refuses the connection needs a person.
        if not isinstance(error, OSError):
            log.warning("nats_error", error=type(error).__name__)
        elif not self._told:
            log.warning("nats_unreachable", error=type(error).__name__)
            self._told = True
