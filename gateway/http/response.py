"""HTTP responses: made of replies, and sent with the id of their request."""

from typing import Any

from starlette.responses import Response
from starlette.types import Message, Send

from gateway.http.body import JSON
from gateway.http.security_headers import OF_DATA, with_defaults
from shared.contract.envelope import Reply
from shared.contract.headers import REQUEST_ID

BODILESS = "slotkeeper.bodiless"
"""In a request's scope if it is a HEAD, which is answered as a GET."""
_REQUEST_ID = REQUEST_ID.lower().encode()


def to_response(reply: Reply[Any]) -> Response:
    """Convert a reply into a Starlette response."""
    return Response(reply.json, reply.status, reply.headers, media_type=JSON.decode())


class ResponseSender:
    """Sends the response to one request, and adds its id and the security headers.

    `status` is None until the response has begun.

    Args:
        send: the `send` of ASGI.
        request_id: the value of the header `X-Request-Id`.
        bodiless: whether the request is a HEAD: its response has the headers of a GET and no body.
    """

    def __init__(self, send: Send, request_id: str, *, bodiless: bool = False) -> None:
        self.status: int | None = None
        self._send = send
        self._bodiless = bodiless
        self._id = (_REQUEST_ID, request_id.encode())

    async def send(self, message: Message) -> None:
        """Send an ASGI message of the application."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*with_defaults(message.get("headers", ())), self._id]
        elif self._bodiless:
            if message.get("more_body", False):
                return
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def send_reply(self, reply: Reply[Any], *more_headers: tuple[bytes, bytes]) -> None:
        """Send a reply as the whole response, with `more_headers` besides its own."""
        body = reply.json.encode()
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", JSON), *OF_DATA, self._id]
        headers += more_headers
        headers += [(name.lower().encode(), value.encode()) for name, value in reply.headers.items()]
        self.status = reply.status
        await self._send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": b"" if self._bodiless else body})
