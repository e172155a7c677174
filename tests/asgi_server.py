"""Serve an ASGI application on loopback, within the event loop of a test."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive

from deploy.local.ports import LOOPBACK
from shared.process.listening import bind


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve(app: ASGIApp, *, certificate: Path | None = None) -> AsyncIterator[str]:
    """Yield the server's URL, without a path; with a `certificate`, a file that has its key too, of `https`.

    No request may be under way at the end.
    """
    listener = bind(LOOPBACK, 0, variable="PORT")
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", ssl_certfile=certificate and str(certificate)
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"{'https' if certificate else 'http'}://{LOOPBACK}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        await serving


async def read_body(receive: Receive) -> bytes:
    """Return the body of a request."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body
