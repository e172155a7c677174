"""One log line and one id a request; and whatever goes wrong inside, the caller gets an answer."""

import asyncio
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import to_response
from gateway.health import HEALTH
from shared.contract.errors import OutcomeUnknown
from shared.contract.headers import REQUEST_ID, accept_request_id

log = structlog.get_logger()


class RequestLog:
    """ASGI middleware, the outermost: binds the request id, logs the answer, catches what is left."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = accept_request_id(Headers(scope=scope).get(REQUEST_ID))
        status: int | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            except (Exception, asyncio.CancelledError):
                log.exception("request_failed")
                if status is None:
                    await to_response(OutcomeUnknown())(scope, receive, send_with_id)
            # The route's template, not the path: what a caller types into a URL may be a name.
            route = getattr(scope.get("route"), "path", None)
            level = log.debug if route in HEALTH else log.info
            ms = round((time.perf_counter() - started) * 1000, 1)
            level("answered", method=scope["method"], route=route, status=status, ms=ms)
