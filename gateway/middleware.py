"""What holds for every request, in one ASGI middleware: an id, a body, a place, a log line, and an answer.

The body is read before the request takes its place among those in flight: who sends slowly keeps nobody away.
"""

import asyncio
import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.access_log import log_answer
from gateway.body import read_body
from gateway.errors import to_response
from gateway.health import HEALTH
from shared.contract.errors import TOO_MANY, NotExecuted, OutcomeUnknown, Refused
from shared.contract.headers import REQUEST_ID, accept_request_id

# What a process answers in some seconds. It bounds memory; refusing earlier would cost more than it saves.
MOST_IN_FLIGHT = 4000
_REQUEST_ID = REQUEST_ID.lower().encode()

log = structlog.get_logger()


class RequestMiddleware:
    """The outermost: whatever goes wrong inside, the caller gets an answer, and the log a line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = accept_request_id(headers.get(_REQUEST_ID, b"").decode("latin-1"))
        status: int | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (_REQUEST_ID, request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._pass_on(scope, headers, receive, send_with_id)
            except (Exception, asyncio.CancelledError):
                log.exception("request_failed")
                if status is None:
                    await to_response(OutcomeUnknown())(scope, receive, send_with_id)
            log_answer(scope, status, started)

    async def _pass_on(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        try:
            body = await read_body(headers, receive)
        except Refused as error:
            response = to_response(error)
            # What still comes of the body is read by nobody, and must not be taken for a request.
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        counts = scope["path"] not in HEALTH
        if counts and self._in_flight >= MOST_IN_FLIGHT:
            await to_response(NotExecuted(TOO_MANY))(scope, receive, send)
            return
        self._in_flight += counts
        try:
            await self._app(scope, _replay(body, receive), send)
        finally:
            self._in_flight -= counts


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the whole body, and then what else comes."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
