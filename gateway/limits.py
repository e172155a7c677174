"""What a request may be: JSON, of at most 16 KiB, and one of so many at once."""

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import to_response
from shared.commands import LARGEST_REQUEST
from shared.errors import TOO_MANY, NotExecuted, TooLarge

# What a process answers in some seconds. It bounds memory; refusing earlier would cost more than it saves.
MOST_IN_HAND = 4000
HEALTH = {"/livez", "/readyz"}


async def require_json(request: Request) -> None:
    """Refuse a request with a body that does not say that it is JSON."""
    if request.method in {"POST", "PATCH", "PUT"}:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise HTTPException(415)


class BodyLimit:
    """ASGI middleware: reads the body, which is small, before the application; refuses a larger one.

    (The limit that FastAPI has answers in plain text, not in the shape of every other refusal.)
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await _read(scope, receive)
        if body is None:
            await to_response(TooLarge())(scope, receive, send)
            return
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(scope, replay, send)


class InHandLimit:
    """ASGI middleware: refuses what is too much at once, so that the rest is answered in time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._in_hand = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in HEALTH:
            await self._app(scope, receive, send)
            return
        if self._in_hand >= MOST_IN_HAND:
            await to_response(NotExecuted(TOO_MANY))(scope, receive, send)
            return
        self._in_hand += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_hand -= 1


async def _read(scope: Scope, receive: Receive) -> bytes | None:
    """The whole body; None if it is larger than the limit, at once where the caller says its length."""
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if not declared.isdigit() or int(declared[:20]) > LARGEST_REQUEST:
        return None
    body = b""
    while len(body) <= LARGEST_REQUEST:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body if len(body) <= LARGEST_REQUEST else None
    return None
