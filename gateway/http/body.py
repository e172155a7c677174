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


class BodyReader:
    """Reads the bodies of requests, each within `BODY_SECONDS`.

    One timer serves all of them: few bodies take long, and `asyncio.timeout` would set one for each.
    """

    def __init__(self) -> None:
        self._deadlines: dict[asyncio.Task[Any], float] = {}
        """By the task that reads; the earliest is first."""
        self._timer: asyncio.Handle | None = None

    async def read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
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
        task = self._begin()
        try:
            while more and len(body) <= LARGEST_REQUEST:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise InvalidRequest("Body is not complete")
                body += message.get("body", b"")
                # The end of a body of a known length is not waited for.
                more = message.get("more_body", False) and not (length and len(body) >= int(length))
        except asyncio.CancelledError:
            if task not in self._deadlines and task.uncancel() == 0:
                raise TooSlow from None
            raise
        finally:
            self._deadlines.pop(task, None)
        if len(body) > LARGEST_REQUEST:
            if more:
                await _throw_away(receive)
            raise TooLarge
        return body

    def _begin(self) -> asyncio.Task[Any]:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None  # noqa: S101 - a coroutine runs in one
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
