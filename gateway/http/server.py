"""Serve HTTP with granian, with bounds on the time and memory of a connection.

Granian runs in this process and its event loop, not as a main process with workers, so that a signal to this
process reaches the service.
"""

import asyncio
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.net import SocketHolder  # type: ignore[attr-defined]
from granian.server.embed import Server

from gateway.http.security_headers import StrictTransport
from shared.process.listening import BACKLOG

# The longest time for a head, and between two requests on a connection.
HEAD_SECONDS = 5
LARGEST_HEAD = 64 * 1024
# More than `MOST_IN_FLIGHT`, so that excess requests get a refusal. Further connections wait to be accepted.
MOST_CONNECTIONS = 4096
# For files, NATS, connections to the health port, and connections that are being closed.
OTHER_DESCRIPTORS = 64

log = structlog.get_logger()


class HttpServer(Server):
    """Serves the ASGI application `app` on `listener`, and takes ownership of `listener`.

    With a certificate and its key, it serves TLS and nothing else.
    """

    def __init__(
        self, app: Any, listener: socket.socket, cert: Path | None = None, key: Path | None = None
    ) -> None:
        super().__init__(
            StrictTransport(app) if cert else app,
            interface=Interfaces.ASGI,
            http=HTTPModes.http1,
            websockets=False,
            backpressure=min(MOST_CONNECTIONS, raise_descriptor_limit() - OTHER_DESCRIPTORS),
            http1_settings=HTTP1Settings(
                header_read_timeout=HEAD_SECONDS * 1000, max_buffer_size=LARGEST_HEAD
            ),
            ssl_cert=cert,
            ssl_key=key,
            ssl_protocol_min=SSLProtocols.tls12,
            log_level=LogLevels.error,
            log_dictconfig={"handlers": {}, "loggers": {"_granian": {"propagate": True}}},
        )
        self._listener = listener

    def _init_shared_socket(self) -> None:
        # A socket that granian opens itself would share its port (`SO_REUSEPORT`) with any other process.
        self._shd = SocketHolder(self._listener.detach(), False, BACKLOG)  # type: ignore[assignment,call-arg]

    async def serve_until(
        self, *ends: asyncio.Event, drain_seconds: float, on_end: Callable[[], None]
    ) -> None:
        """Serve until one of `ends` is set, then drain.

        Draining accepts no more connections, and answers the requests in flight for at most `drain_seconds`.
        `on_end` ends the responses that have no end of their own, because granian waits for them.
        """
        serving = asyncio.ensure_future(self.serve())
        waiting = {asyncio.ensure_future(end.wait()) for end in ends}
        await asyncio.wait({serving, *waiting}, return_when=asyncio.FIRST_COMPLETED)
        on_end()
        self.stop()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(drain_seconds):
                await serving
        except TimeoutError:
            log.warning("drain_incomplete")
        finally:
            for task in waiting:
                task.cancel()


def raise_descriptor_limit() -> int:
    """Raise the limit of open files to the needed number or the system's maximum, and return the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + OTHER_DESCRIPTORS
    limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit
