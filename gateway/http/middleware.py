"""What holds for every request: an id, a body, a place among those in flight, an answer, a log line.

The body is read before the request takes its place: who sends slowly keeps nobody away.
"""

import asyncio
import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from gateway.api.calls import CALLER, ApiCall, HotCalls
from gateway.http.access_log import REFUSED, log_answer
from gateway.http.answer import BODILESS, Answer
from gateway.http.body import BodyReader
from gateway.http.errors import unknown
from gateway.http.head import check_head
from gateway.http.health import HEALTH
from gateway.http.metrics import IN_FLIGHT, TURNED_AWAY
from gateway.http.presence import Presence
from gateway.live.route import LIVE
from shared.contract.envelope import refusal
from shared.contract.errors import Overloaded, Refused
from shared.contract.headers import REQUEST_ID, accept_request_id

# What a process answers in some seconds. It bounds memory; refusing earlier would cost more than it saves.
MOST_IN_FLIGHT = 4000
UNCOUNTED = HEALTH | {LIVE}
"""Paths whose requests take no room: health checks, and live streams, which have a limit of their own."""
_REQUEST_ID = REQUEST_ID.lower().encode()
_CLOSE = (b"connection", b"close")

log = structlog.get_logger()


class RequestMiddleware:
    """The outermost: whatever goes wrong inside, the caller gets an answer, and the log a line.

    It makes the `hot_calls` itself; `app` answers all else.
    """

    def __init__(self, app: ASGIApp, hot_calls: HotCalls | None = None) -> None:
        self._app = app
        self._hot_calls = hot_calls or HotCalls()
        self._bodies = BodyReader()
        self._in_flight = 0
        IN_FLIGHT.set_function(lambda: self._in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, method = time.perf_counter(), scope["method"]
        if method == "HEAD":  # the answer to a GET without its body, whatever routes there are
            scope["method"], scope[BODILESS] = "GET", True
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = accept_request_id(headers.get(_REQUEST_ID, b"").decode("latin-1"))
        answer = Answer(send, request_id, bodiless=method == "HEAD")
        try:
            await self._take(scope, headers, request_id, receive, answer)
        except (Exception, asyncio.CancelledError):
            log.exception("request_failed", request_id=request_id)
            if answer.status is None:
                await _refuse(scope, answer, unknown(scope["method"]))
        log_answer(scope, request_id, method, answer.status, started)

    async def _take(
        self, scope: Scope, headers: dict[bytes, bytes], request_id: str, receive: Receive, answer: Answer
    ) -> None:
        try:
            body = await self._bodies.read(headers, receive)
        except Refused as error:
            # What still comes of the body is read by nobody, and must not be taken for a request.
            await _refuse(scope, answer, error, _CLOSE)
            return
        try:
            check_head(scope, headers)
        except Refused as error:
            await _refuse(scope, answer, error)
            return
        counts = scope["path"] not in UNCOUNTED
        if counts and self._in_flight >= MOST_IN_FLIGHT:
            TURNED_AWAY.inc()
            await _refuse(scope, answer, Overloaded())
            return
        self._in_flight += counts
        presence = Presence(request_id, receive)
        try:
            hot_call, parameters = self._hot_calls.find(scope["method"], scope["path"])
            if hot_call and not scope["query_string"]:
                scope["path_params"] = parameters
                await self._call(hot_call, scope, presence, body, answer)
            else:
                scope[CALLER] = presence
                with bound_contextvars(request_id=request_id):
                    await self._app(scope, _replay(body, receive), answer.send)
        finally:
            self._in_flight -= counts
            presence.end()

    async def _call(
        self, hot_call: ApiCall, scope: Scope, caller: Presence, body: bytes, answer: Answer
    ) -> None:
        scope["route"] = hot_call
        try:
            reply = await hot_call.answer(caller, scope["headers"], body, path=scope["path_params"])
        except Refused as error:
            await _refuse(scope, answer, error)
        else:
            await answer.reply(reply)


async def _refuse(scope: Scope, answer: Answer, error: Refused, *more: tuple[bytes, bytes]) -> None:
    scope[REFUSED] = error
    await answer.reply(refusal(error), *more)


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
