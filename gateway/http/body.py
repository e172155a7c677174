"""What is read of a request: its headers, and its body, JSON of at most 16 KiB that is there in time."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from starlette.types import Receive

from shared.contract.errors import InvalidRequest, TooLarge, TooSlow, UnsupportedMediaType
from shared.contract.parsing import LARGEST_REQUEST, NOT_JSON
from shared.contract.strict_json import read_json

BODY_SECONDS = 10
THROW_AWAY_SECONDS = 0.5
MOST_THROWN_AWAY = 256 * 1024
CONTENT_TYPE, JSON = b"content-type", b"application/json"

Headers = Sequence[tuple[bytes, bytes]]
"""As ASGI has them: names in lower case."""


def values(headers: Headers, name: bytes) -> list[bytes]:
    """What was sent as the header `name`, in lower case, as often as it was sent."""
    return [value for header, value in headers if header == name]


def read_object(headers: Headers, body: bytes) -> Any:
    """What the body of a request says: an object if it is a command; it is not validated yet.

    Raises:
        UnsupportedMediaType: it does not say that it is JSON.
        InvalidRequest: it is no JSON.
    """
    said = values(headers, CONTENT_TYPE)
    if not said or (said[0] != JSON and said[0].partition(b";")[0].strip().lower() != JSON):
        raise UnsupportedMediaType
    try:
        return read_json(body)
    except (ValueError, RecursionError):
        raise InvalidRequest(NOT_JSON) from None


async def read_body(headers: dict[bytes, bytes], receive: Receive) -> bytes:
    """The whole body.

    (The limit that FastAPI has answers in plain text, not in the shape of every other refusal.)

    Raises:
        TooLarge: before it is all there.
        TooSlow
        InvalidRequest: the caller has gone before it was complete.
    """
    length = headers.get(b"content-length", b"" if b"transfer-encoding" in headers else b"0")
    if length == b"0":
        return b""
    if length and (not length.isdigit() or int(length[:20]) > LARGEST_REQUEST):
        await _throw_away(receive)
        raise TooLarge
    body, more = b"", True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise InvalidRequest("Body is not complete")
                body += message.get("body", b"")
                # The end of a body of a known length is not waited for.
                more = message.get("more_body", False) and not (length and len(body) >= int(length))
                if len(body) > LARGEST_REQUEST:
                    break
    except TimeoutError:
        raise TooSlow from None
    if len(body) > LARGEST_REQUEST:
        if more:
            await _throw_away(receive)
        raise TooLarge
    return body


async def _throw_away(receive: Receive) -> None:
    """Read some more of what is too large: a caller whose sending fails does not hear why."""
    left = MOST_THROWN_AWAY
    with suppress(TimeoutError):
        async with asyncio.timeout(THROW_AWAY_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
