"""What a request may be: JSON, of at most 16 KiB, there in time, and one of so many at once."""

import asyncio

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import to_response
from gateway.health import HEALTH
from shared.contract.commands import LARGEST_REQUEST
from shared.contract.errors import (
    TOO_MANY,
    InvalidRequest,
    NotExecuted,
    Refused,
    TooLarge,
    TooSlow,
    UnsupportedMediaType,
)

# What a process answers in some seconds. It bounds memory; refusing earlier would cost more than it saves.
MOST_IN_FLIGHT = 4000
BODY_SECONDS = 10


async def require_json(request: Request) -> None:
    """Refuse a request with a body that does not say that it is JSON."""
    if request.method in {"POST", "PATCH", "PUT"}:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise UnsupportedMediaType


class BodyLimit:
    """ASGI middleware: reads the body, which is small, before the application; refuses a larger one.

    It stands before `InFlightLimit`: who sends slowly keeps nobody else away.
    (The limit that FastAPI has answers in plain text, not in the shape of every other refusal.)
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await _read(scope, receive)
        except Refused as error:
            response = to_response(error)
            # What still comes of the body is read by nobody, and must not be taken for a request.
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        # As over NATS, an empty body is an empty object.
        messages: list[Message] = [{"type": "http.request", "body": body or b"{}", "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(scope, replay, send)


class InFlightLimit:
    """ASGI middleware: refuses what is too much at once, so that the rest is answered in time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._in_hand = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in HEALTH:
            await self._app(scope, receive, send)
            return
        if self._in_hand >= MOST_IN_FLIGHT:
            await to_response(NotExecuted(TOO_MANY))(scope, receive, send)
            return
        self._in_hand += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_hand -= 1


async def _read(scope: Scope, receive: Receive) -> bytes:
    """The whole body.

    Raises:
        TooLarge: at once where the caller says its length.
        TooSlow
        InvalidRequest: the caller has gone before it was complete.
    """
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"" if b"transfer-encoding" in headers else b"0")
    if length and (not length.isdigit() or int(length[:20]) > LARGEST_REQUEST):
        raise TooLarge
    body, more = b"", length != b"0"
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise InvalidRequest("Body is not complete")
                body += message.get("body", b"")
                if len(body) > LARGEST_REQUEST:
                    raise TooLarge
                # The end of a body of a known length is not waited for.
                more = message.get("more_body", False) and not (length and len(body) >= int(length))
    except TimeoutError:
        raise TooSlow from None
    return body
