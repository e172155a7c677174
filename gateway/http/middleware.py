"""Handle every request: its id, body, capacity, response and log line."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from gateway.access.identified import NOBODY, OPEN, Identified
from gateway.http.access_log import REFUSED, log_answer
from gateway.http.body import BodyReader, Headers
from gateway.http.connection import REQUESTER, ClientConnection
from gateway.http.errors import unknown
from gateway.http.head import check_head
from gateway.http.health import HEALTH
from gateway.http.metrics import IN_FLIGHT, TURNED_AWAY
from gateway.http.response import BODILESS, ResponseSender
from shared.contract.envelope import Reply, refusal
from shared.contract.errors import Overloaded, Refused
from shared.contract.headers import REQUEST_ID, accept_request_id

# A process answers this many requests in some seconds. The bound protects memory; a lower bound would cost
# more than it saves.
MOST_IN_FLIGHT = 4000
PROTECTED = "/api/"
"""The begin of the paths whose callers are identified. The others have neither names nor keys."""
SIGNED = frozenset({"/api/sms"})
"""Paths below it whose requests are signed by their sender, who has no key."""
_REQUEST_ID = REQUEST_ID.lower().encode()
_CLOSE = (b"connection", b"close")

log = structlog.get_logger()


class HotCall(Protocol):
    """A call that the middleware makes without FastAPI."""

    @property
    def path(self) -> str:
        """The template of its path, for the log."""

    async def handle(
        self, connection: ClientConnection, headers: Headers, body: bytes, *, path: Mapping[str, str]
    ) -> Reply[Any]:
        """Carry out a request; `path` has the parameters of its path.

        Raises:
            Refused
        """


FindHotCall = Callable[[str, str], tuple[HotCall | None, Mapping[str, str]]]
"""Returns the hot call of a method and path, or None, and the parameters of the path."""
Identify = Callable[[Mapping[bytes, bytes], Scope], Identified]
"""Returns the caller of a request with these headers and this ASGI scope, or raises Unauthorized."""


class RequestMiddleware:
    """The outermost layer: every request gets a response and a log line, even if the inside fails.

    Args:
        app: the application that handles all requests except the hot calls.
        find_hot_call: finds the hot call of a request; by default no call is hot.
        streams: paths of streams, whose requests take no capacity and have no place in the times of requests.
        allowed_hosts: the names that `Host` may have; empty: any.
        identify: identifies the callers of `PROTECTED` paths; by default the service is open.
    """

    def __init__(
        self,
        app: ASGIApp,
        find_hot_call: FindHotCall = lambda _method, _path: (None, {}),
        streams: Collection[str] = (),
        allowed_hosts: Collection[bytes] = frozenset(),
        identify: Identify = lambda _headers, _scope: OPEN,
    ) -> None:
        self._app = app
        self._find_hot_call = find_hot_call
        self._streams = frozenset(streams)
        self._allowed_hosts = allowed_hosts
        self._uncounted = HEALTH | self._streams
        self._identify = identify
        self._bodies = BodyReader()
        self._in_flight = 0
        IN_FLIGHT.set_function(lambda: self._in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, method = time.perf_counter(), scope["method"]
        if method == "HEAD":  # every GET answers HEAD too, without a route for it
            scope["method"], scope[BODILESS] = "GET", True
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = accept_request_id(headers.get(_REQUEST_ID, b"").decode("latin-1"))
        response = ResponseSender(send, request_id, bodiless=method == "HEAD")
        try:
            await self._handle(scope, headers, request_id, receive, response)
        except (Exception, asyncio.CancelledError):
            log.exception("request_failed", request_id=request_id)
            if response.status is None:
                await _refuse(scope, response, unknown(scope["method"]))
        is_stream = scope["path"] in self._streams
        log_answer(scope, request_id, method, response.status, started, is_stream=is_stream)

    async def _handle(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        request_id: str,
        receive: Receive,
        response: ResponseSender,
    ) -> None:
        # Read the body before counting the request as in flight, so slow callers take no capacity.
        try:
            body = await self._bodies.read(headers, receive)
        except Refused as error:
            # The rest of the body stays unread. Close the connection, or granian would parse the rest as
            # the next request.
            await _refuse(scope, response, error, _CLOSE)
            return
        try:
            check_head(scope, headers, self._allowed_hosts)
            is_protected = scope["path"].startswith(PROTECTED) and scope["path"] not in SIGNED
            identified = self._identify(headers, scope) if is_protected else NOBODY
        except Refused as error:
            await _refuse(scope, response, error)
            return
        counts = scope["path"] not in self._uncounted
        if counts and self._in_flight >= MOST_IN_FLIGHT:
            TURNED_AWAY.inc()
            await _refuse(scope, response, Overloaded())
            return
        self._in_flight += counts
        connection = ClientConnection(request_id, receive, identified)
        try:
            hot_call, parameters = self._find_hot_call(scope["method"], scope["path"])
            if hot_call and not scope["query_string"]:
                scope["path_params"] = parameters
                await self._make_hot_call(hot_call, scope, connection, body, response)
            else:
                scope[REQUESTER] = connection
                with bound_contextvars(request_id=request_id):
                    await self._app(scope, _replay(body, receive), response.send)
        finally:
            self._in_flight -= counts
            connection.stop()

    async def _make_hot_call(
        self,
        hot_call: HotCall,
        scope: Scope,
        connection: ClientConnection,
        body: bytes,
        response: ResponseSender,
    ) -> None:
        scope["route"] = hot_call
        try:
            reply = await hot_call.handle(connection, scope["headers"], body, path=scope["path_params"])
        except Refused as error:
            await _refuse(scope, response, error)
        else:
            await response.send_reply(reply)


async def _refuse(
    scope: Scope, response: ResponseSender, error: Refused, *more_headers: tuple[bytes, bytes]
) -> None:
    scope[REFUSED] = error
    await response.send_reply(refusal(error), *more_headers)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that first returns the whole body, then calls the original `receive`."""
    returned = False

    async def replay() -> Message:
        nonlocal returned
        if returned:
            return await receive()
        returned = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
