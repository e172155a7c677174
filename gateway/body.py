"""The body of a request: JSON, of at most 16 KiB, there in time."""

import asyncio

from fastapi import Request
from starlette.types import Receive

from shared.contract.commands import LARGEST_REQUEST, CommandT, parse_command
from shared.contract.errors import InvalidRequest, TooLarge, TooSlow, UnsupportedMediaType

BODY_SECONDS = 10
JSON = "application/json"


async def read_command(model: type[CommandT], request: Request) -> CommandT:
    """The command in the body of a request.

    Raises:
        UnsupportedMediaType: it does not say that it is JSON.
        InvalidRequest
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise UnsupportedMediaType
    return parse_command(model, await request.body())


async def read_body(headers: dict[bytes, bytes], receive: Receive) -> bytes:
    """The whole body.

    (The limit that FastAPI has answers in plain text, not in the shape of every other refusal.)

    Raises:
        TooLarge: at once where the caller says its length.
        TooSlow
        InvalidRequest: the caller has gone before it was complete.
    """
    length = headers.get(b"content-length", b"" if b"transfer-encoding" in headers else b"0")
    if length == b"0":
        return b""
    if length and (not length.isdigit() or int(length[:20]) > LARGEST_REQUEST):
        raise TooLarge
    body, more = b"", True
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
