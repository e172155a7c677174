"""Serve `/livez`, `/readyz` and `/metrics` of a process to operators."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.contract.replies import Readiness
from shared.process import metrics
from shared.process.listening import bind
from shared.process.tasks import run_until_cancelled

AskReadiness = Callable[[], Awaitable[Readiness]]


def bind_health(host: str, port: int, *, variable: str) -> socket.socket | None:
    """Bind the listening socket for `health_server`; None if `port` is 0.

    Raises:
        Misconfigured: the port is in use. The message names the variable that set it.
    """
    return bind(host, port, variable=variable) if port else None


@asynccontextmanager
async def health_server(
    listener: socket.socket | None, ask: AskReadiness, fail: Callable[[], None]
) -> AsyncIterator[None]:
    """Serve health and metrics while the context lasts; without a socket do nothing.

    `fail` is called if the server ends before the context.
    """
    if listener is None:
        yield
        return
    server = _Server(uvicorn.Config(_app(ask), log_config=None, access_log=False, lifespan="off"))
    serving = run_until_cancelled(
        server.serve(sockets=[listener]), lambda: None if server.should_exit else fail()
    )
    try:
        yield
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """A server that leaves signals to the process, which drains before it stops."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _app(ask: AskReadiness) -> Starlette:
    async def livez(_request: Request) -> JSONResponse:
        return JSONResponse({"alive": True})

    async def readyz(_request: Request) -> JSONResponse:
        readiness = await ask()
        return JSONResponse(readiness.model_dump(), status_code=200 if readiness.ready else 503)

    async def exposition(_request: Request) -> Response:
        return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", exposition)])
