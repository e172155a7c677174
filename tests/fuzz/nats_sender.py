"""Send any payload and header to a subject, from code that does not run in an event loop."""

import asyncio
import threading
from types import TracebackType
from typing import Self

import nats
from nats.aio.client import Client


class NatsSender:
    """A connection in a thread of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._connection = Client()

    def __enter__(self) -> Self:
        self._thread.start()
        self._connection = asyncio.run_coroutine_threadsafe(nats.connect(self._url), self._loop).result(20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._connection.close(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    def ask(self, subject: str, payload: bytes, headers: dict[str, str], seconds: float) -> bytes:
        """Send a request, and return the payload of its answer.

        Raises:
            TimeoutError: no answer came.
        """

        async def ask() -> bytes:
            answer = await self._connection.request(
                subject, payload, timeout=seconds, headers=headers or None
            )
            return answer.data

        return asyncio.run_coroutine_threadsafe(ask(), self._loop).result(seconds + 5)
