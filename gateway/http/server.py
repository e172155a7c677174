"""Serving HTTP: granian, in this process and its event loop, with bounds on what a connection may cost.

Not its usual main and worker process: whoever signals, stops or kills this one means the service.
"""

import asyncio
import resource
import socket
from collections.abc import Callable
from typing import Any

import structlog
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.net import SocketHolder  # type: ignore[attr-defined]
from granian.server.embed import Server

from shared.process.listening import BACKLOG

# A head has to be there in that time, and as much lies between two requests on a connection.
HEAD_SECONDS = 5
LARGEST_HEAD = 64 * 1024
# More than requests may be in flight: what is too much is told so. Further connections wait to be accepted.
MOST_CONNECTIONS = 4096
# Files, NATS, connections to the health port, and those that are being closed.
OTHER_DESCRIPTORS = 64

log = structlog.get_logger()


class HttpServer(Server):
    """Serves the ASGI application `app` on `listener`, which it then owns."""

    def __init__(self, app: Any, listener: socket.socket) -> None:
        super().__init__(
            app,
            interface=Interfaces.ASGI,
            http=HTTPModes.http1,
            websockets=False,
            backpressure=min(MOST_CONNECTIONS, raise_descriptor_limit() - OTHER_DESCRIPTORS),
            http1_settings=HTTP1Settings(
                header_read_timeout=HEAD_SECONDS * 1000, max_buffer_size=LARGEST_HEAD
            ),
            log_level=LogLevels.error,
            log_dictconfig={"handlers": {}, "loggers": {"_granian": {"propagate": True}}},
        )
        self._listener = listener

    def _init_shared_socket(self) -> None:
        # What granian opens by itself shares its port with any other process that would share it.
        self._shd = SocketHolder(self._listener.detach(), False, BACKLOG)  # type: ignore[assignment,call-arg]

    async def serve_until(
        self, *ends: asyncio.Event, drain_seconds: float, on_end: Callable[[], None]
    ) -> None:
        """Serve until one of `ends` is set, then take no more connections, and answer what is in flight.

        `on_end` ends the answers that would have no end. (Granian waits for them.)
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
            for each in waiting:
                each.cancel()


def raise_descriptor_limit() -> int:
    """Allow this process as many open files as it may need and the system lets it have; that number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + OTHER_DESCRIPTORS
    limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit
