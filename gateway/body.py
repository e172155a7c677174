"""What is read of a request: its headers, and its body, JSON of at most 16 KiB that is there in time."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from starlette.types import Receive

from shared.contract.commands import CommandT
from shared.contract.errors import InvalidRequest, TooLarge, TooSlow, UnsupportedMediaType
from shared.contract.headers import IDEMPOTENCY_KEY
from shared.contract.parsing import LARGEST_REQUEST, parse_command

BODY_SECONDS = 10
THROW_AWAY_SECONDS = 0.5
MOST_THROWN_AWAY = 256 * 1024
JSON = b"application/json"

Headers = Sequence[tuple[bytes, bytes]]
"""As ASGI has them: names in lower case."""


def values(headers: Headers, name: str) -> list[bytes]:
    """What was sent as the header `name`, as often as it was sent."""
    wanted = name.lower().encode()
    return [value for header, value in headers if header == wanted]


def refuse_key(headers: Headers) -> None:
    """Refuse an idempotency key where none is taken: its sender would rely on it.

    Raises:
        InvalidRequest
    """
    if values(headers, IDEMPOTENCY_KEY):
        raise InvalidRequest(f"{IDEMPOTENCY_KEY} is not accepted here")


def read_command(model: type[CommandT], headers: Headers, body: bytes) -> CommandT:
    """The command in the body of a request.

    Raises:
        UnsupportedMediaType: it does not say that it is JSON.
        InvalidRequest
    """
    said = values(headers, "Content-Type")
    if not said or (said[0] != JSON and said[0].partition(b";")[0].strip().lower() != JSON):
        raise UnsupportedMediaType
    return parse_command(model, body)


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
