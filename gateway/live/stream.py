"""A live stream: server-sent events on their way to one client.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from types import MappingProxyType

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.live.metrics import DROPPED
from shared.contract.errors import NotExecuted, Refused

MOST_WAITING = 16
"""Events that wait for a client, beyond those that the system keeps for it; one more, and it is dropped."""
KEEP_ALIVE_SECONDS = 15.0
LAST_SECONDS = 1.0
"""How long a client has to read the last event."""
RETRY_MS = (1000, 5000)
"""When clients come back to a gateway that has stopped: not all at once."""
HEADERS: Mapping[str, str] = MappingProxyType({"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})


class LiveStream:
    """The events of one client. It is `opened` once its snapshot is there, or was refused."""

    def __init__(self) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting = asyncio.Queue[bytes | None](MOST_WAITING)
        self._sending: asyncio.Task[None] | None = None
        self._dropped = False

    def open(self, snapshot: bytes) -> None:
        """Begin with a snapshot."""
        if not self.opened.done():
            self.opened.set_result(None)
            self.put(snapshot)

    def refuse(self, refused: Refused) -> None:
        """Do not begin."""
        if not self.opened.done():
            self.opened.set_exception(refused)

    def put(self, event: bytes) -> None:
        """Send an event, or drop a client that has not read the last ones."""
        if self._dropped:
            return
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            DROPPED.inc()
            self._drop()

    def end(self) -> None:
        """Send a last comment, with the time after which the client is to come back."""
        self.refuse(NotExecuted())
        try:
            self._waiting.put_nowait(format_sse_event(comment="stopping", retry=random.randint(*RETRY_MS)))  # noqa: S311
            self._waiting.put_nowait(None)
        except asyncio.QueueFull:
            self._drop()
        else:
            asyncio.get_running_loop().call_later(LAST_SECONDS, self._drop)

    def _drop(self) -> None:
        self._dropped = True
        if self._sending is not None:
            self._sending.cancel()

    async def send_all(self, send: Send) -> None:
        """Send events until the end, and keep-alives meanwhile."""
        self._sending = asyncio.current_task()
        while not self._dropped:
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    event = await self._waiting.get()
            except TimeoutError:
                event = KEEPALIVE_COMMENT
            if event is None:
                break
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class LiveResponse(Response):
    """The answer that a stream is: it ends with its client, or if the client does not read.

    Not Starlette's own, which cannot end while its client takes nothing.
    """

    media_type = EventSourceResponse.media_type

    def __init__(self, stream: LiveStream, on_end: Callable[[], None]) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["Content-Length"]
        self._stream = stream
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tasks = set[asyncio.Task[None]]()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            tasks = {
                asyncio.create_task(self._stream.send_all(send)),
                asyncio.create_task(_disconnected(receive)),
            }
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._on_end()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
