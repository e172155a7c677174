"""The connection of a request, and who sent it. The client checks it before each retry of the command."""

import asyncio

from starlette.types import Message, Receive

from gateway.access.identified import NOBODY, Identified

CHECK_SECONDS = 0.01
REQUESTER = "slotkeeper.requester"
"""The key under which a request's scope has its `ClientConnection`."""


class ClientConnection:
    """The requester of a command: detects that its sender has disconnected.

    It detects that only once the body of the request is complete.

    ASGI sends nothing after a complete body except the disconnect. The result is a hint: no promise depends
    on it.

    Args:
        request_id: the id of the request.
        receive: the `receive` of ASGI.
        identified: the caller.
    """

    def __init__(self, request_id: str, receive: Receive, identified: Identified = NOBODY) -> None:
        self.request_id = request_id
        self.identified = identified
        self.caller = identified.json
        self._receive = receive
        self._next: asyncio.Future[Message] | None = None

    async def has_left(self) -> bool:
        """Return whether the caller has closed the connection."""
        while True:
            if self._next is None:
                self._next = asyncio.ensure_future(self._receive())
            done, _ = await asyncio.wait({self._next}, timeout=CHECK_SECONDS)
            if not done:
                return False
            if self._next.exception() is not None:
                return False
            if self._next.result()["type"] == "http.disconnect":
                return True
            self._next = None  # the end of the body, for which `BodyReader` did not wait

    def stop(self) -> None:
        """Stop receiving."""
        if self._next is not None:
            self._next.cancel()
