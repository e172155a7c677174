"""Read the body of a request: JSON of at most 16 KiB, within 10 s."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from starlette.types import Receive

from shared.contract.errors import InvalidRequest, TooLarge, TooSlow, UnsupportedMediaType
from shared.contract.parsing import LARGEST_REQUEST, NOT_JSON
from shared.contract.strict_json import read_json

BODY_SECONDS = 10
DISCARD_SECONDS = 0.5
MOST_DISCARDED = 256 * 1024
CONTENT_TYPE, JSON = b"content-type", b"application/json"

Headers = Sequence[tuple[bytes, bytes]]
"""Pairs of name and value, as in ASGI: names in lower case."""


def values(headers: Headers, name: bytes) -> list[bytes]:
    """Return all values of the header `name` (lower case), in the order of the request."""
    return [value for header, value in headers if header == name]


def read_object(headers: Headers, body: bytes) -> Any:
    """Parse the body of a request, without validating it: the JSON of a command is an object.

    Raises:
        UnsupportedMediaType: the `Content-Type` is missing, or is not JSON.
        InvalidRequest: the body is not valid JSON.
    """
    types = values(headers, CONTENT_TYPE)
    if not types or (types[0] != JSON and types[0].partition(b";")[0].strip().lower() != JSON):
        raise UnsupportedMediaType
    try:
        return read_json(body)
    except (ValueError, RecursionError):
        raise InvalidRequest(NOT_JSON) from None


class BodyReader:
    """Reads every body within `BODY_SECONDS`.

    One timer serves all bodies, because few bodies take long. `asyncio.timeout` would set one each.
    """

    def __init__(self) -> None:
        self._deadlines: dict[asyncio.Task[Any], float] = {}
        """By the task that reads the body, the earliest deadline first."""
        self._timer: asyncio.Handle | None = None

    async def read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """Return the whole body.

        FastAPI's own limit is not used, because it answers in plain text instead of JSON.

        Args:
            headers: of the request, by their lower-case names.
            receive: the `receive` of ASGI.

        Raises:
            TooLarge: raised without waiting for the whole body.
            TooSlow: the body is not complete after `BODY_SECONDS`.
            InvalidRequest: the caller disconnected before the body was complete.
        """
        length = headers.get(b"content-length", b"" if b"transfer-encoding" in headers else b"0")
        if length == b"0":
            return b""
        if length and (not length.isdigit() or int(length[:20]) > LARGEST_REQUEST):
            await _discard(receive)
            raise TooLarge
        body, more = b"", True
        task = self._begin()
        try:
            while more and len(body) <= LARGEST_REQUEST:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise InvalidRequest("Body is not complete")
                body += message.get("body", b"")
                # Do not wait for the message that ends the body, if the body's length is known.
                more = message.get("more_body", False) and not (length and len(body) >= int(length))
        except asyncio.CancelledError:
            if task not in self._deadlines and task.uncancel() == 0:
                raise TooSlow from None
            raise
        finally:
            self._deadlines.pop(task, None)
        if len(body) > LARGEST_REQUEST:
            if more:
                await _discard(receive)
            raise TooLarge
        return body

    def _begin(self) -> asyncio.Task[Any]:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._deadlines[task] = deadline = loop.time() + BODY_SECONDS
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._cancel_late, loop)
        return task

    def _cancel_late(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for task, deadline in [*self._deadlines.items()]:
            if deadline > loop.time():
                self._timer = loop.call_at(deadline, self._cancel_late, loop)
                return
            del self._deadlines[task]
            task.cancel()


async def _discard(receive: Receive) -> None:
    """Read a bounded part of the rest, because a caller whose sending fails does not read the refusal."""
    left = MOST_DISCARDED
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
