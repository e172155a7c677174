"""Whether the caller of a request is still there: looked at only before a command is repeated."""

import asyncio

from starlette.types import Message, Receive

LOOK_SECONDS = 0.01


class Presence:
    """Reads what else comes of a request whose body is complete: nothing, until its caller has gone.

    It is a hint: no promise depends on it.
    """

    def __init__(self, request_id: str, receive: Receive) -> None:
        self.request_id = request_id
        self._receive = receive
        self._next: asyncio.Future[Message] | None = None

    async def has_left(self) -> bool:
        """Whether the caller has closed the connection."""
        while True:
            if self._next is None:
                self._next = asyncio.ensure_future(self._receive())
            done, _ = await asyncio.wait({self._next}, timeout=LOOK_SECONDS)
            if not done:
                return False
            if self._next.exception() is not None:
                return False
            if self._next.result()["type"] == "http.disconnect":
                return True
            self._next = None  # the end of the body, which was not waited for

    def end(self) -> None:
        """Read no more."""
        if self._next is not None:
            self._next.cancel()
