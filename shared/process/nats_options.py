"""Define how every process connects to NATS: it reconnects without limit, and logs a lost connection."""

import re
import ssl
from collections.abc import Callable
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import structlog

from .nats_access import NatsAccess

SCHEMES = {"nats", "tls", "ws", "wss"}
RECONNECT_SECONDS = 0.25
PING_SECONDS = 3
MOST_DENIED = 100
"""Denied actions that are logged, each once: a program may repeat them without end."""
LOG_SECONDS = 10.0
"""How often an error that repeats is logged: a connection that is refused is tried four times a second."""
NEEDS_ACCESS = "NATS demands an access file (NATS_ACCESS_FILE), or credentials in its URL"
REFUSES_USER = "NATS does not know this user: run deploy.nats_access again, and reload NATS"
_REFUSED = "authorization violation"
_DENIED = re.compile(r"(?i)permissions violation for (publish|subscription) to \"([^\"]*)\"")
log = structlog.get_logger()


def checked_servers(urls: str) -> str:
    """Check one URL of a NATS server or several, separated by commas: each has a host and no invalid port.

    Raises:
        ValueError: the sentence begins with "must" and does not contain the URL, which may hold a password.
    """
    for url in urls.split(","):
        try:
            parts = urlsplit(url.strip())
            usable = parts.scheme in SCHEMES and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable or any(character.isspace() for character in url.strip()):
            raise ValueError("must be nats://HOST:PORT (or tls, ws, wss), or several, separated by commas")
    return urls


def without_credentials(urls: str) -> str:
    """Return the scheme, host and port of each server, for logs."""
    parts = [urlsplit(url.strip()) for url in urls.split(",")]
    return ",".join(f"{part.scheme}://{part.netloc.rpartition('@')[2]}" for part in parts)


def _nothing() -> None:
    """Do nothing: the default callback."""


class NatsOptions:
    """The options of a connection to `url`: one server, or several separated by commas.

    An outage is logged once. At a NATS error that it does not know, nats-py closes the connection
    permanently, regardless of the number of reconnect attempts. Then `on_closed` is called once, because the
    process is of no further use. `on_disconnected` is called whenever the connection is lost, before a
    message arrives on the next one. With `tls`, or a `tls://` URL, every connection must be encrypted
    (`nats_wire.GuardedClient`). With `access`, the connection is that user's.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        tls: ssl.SSLContext | None = None,
        access: NatsAccess | None = None,
        on_closed: Callable[[], None] = _nothing,
        on_disconnected: Callable[[], None] = _nothing,
    ) -> None:
        self._url = url
        self._name = name
        self._tls = tls
        self._access = access
        self._denied: set[tuple[str, str]] = set()
        self._on_closed = on_closed
        self._on_disconnected = on_disconnected
        self._is_logged = False
        self._last_error, self._log_again_at = "", 0.0
        self.refusal: str | None = None
        """What to do, if NATS has refused a connection for want of the right credentials."""
        self.closing = False
        """Set it before closing the connection, so that the end is not logged as a failure."""

    @property
    def connect(self) -> dict[str, Any]:
        """The arguments for `nats.aio.client.Client.connect` and `NatsBroker`.

        By default nats-py gives up after 60 attempts and leaves a live process with a dead connection; here
        it never gives up.
        """
        return {
            "servers": [part.strip() for part in self._url.split(",")],
            "name": self._name,
            "tls": self._tls,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": RECONNECT_SECONDS,
            # A silently cut connection is noticed within seconds; the default takes minutes.
            "ping_interval": PING_SECONDS,
            "max_outstanding_pings": 2,
            "disconnected_cb": self._disconnected,
            "reconnected_cb": self._reconnected,
            "closed_cb": self._closed,
            "error_cb": self._failed,
            **(self._access.connect if self._access else {}),
        }

    async def _disconnected(self) -> None:
        self._on_disconnected()
        if not self.closing:
            log.warning("nats_disconnected")
            self._is_logged = True

    async def _reconnected(self) -> None:
        log.info("nats_reconnected")
        self._is_logged = False

    async def _closed(self) -> None:
        if not self.closing:
            self.closing = True
            log.error("nats_closed", hint="the log of NATS says why")
            self._on_closed()

    async def _failed(self, error: Exception) -> None:
        # A server that is away is retried at once; a server that refuses the connection needs a person.
        if denied := _DENIED.search(str(error)):
            self._log_denied(*denied.groups())
        elif not isinstance(error, OSError):
            self._log_error(error)
        elif not self._is_logged:
            address = without_credentials(self._url)
            log.warning("nats_unreachable", error=type(error).__name__, address=address)
            self._is_logged = True

    def _log_error(self, error: Exception) -> None:
        text, hint, now = str(error), {}, monotonic()
        if _REFUSED in text.lower():
            self.refusal = REFUSES_USER if self._access else NEEDS_ACCESS
            hint = {"hint": self.refusal}
        if text != self._last_error or now >= self._log_again_at:
            self._last_error, self._log_again_at = text, now + LOG_SECONDS
            log.warning("nats_error", error=type(error).__name__, **hint)

    def _log_denied(self, action: str, subject: str) -> None:
        """Log a denied action: without this, a denied request looks like one without a reply."""
        if (action, subject) not in self._denied and len(self._denied) < MOST_DENIED:
            self._denied.add((action, subject))
            log.error("nats_permission_denied", action=action, subject=subject)
