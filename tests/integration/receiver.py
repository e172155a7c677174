"""A receiver of webhooks: an HTTP server that a test scripts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook
from starlette.types import Receive, Scope, Send

from tests.asgi_server import read_body, serve

WAIT_SECONDS = 20.0


@dataclass
class Received:
    """A delivery as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """Return the body, after the specification's own library has verified its signature."""
        payload: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return payload


@dataclass
class Receiver:
    """Answers with `statuses`, the last one again and again, once `open` is set."""

    statuses: list[int] = field(default_factory=lambda: [204])
    headers: dict[str, str] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def until(self, count: int) -> list[Received]:
        """Return what has come, once that are `count` deliveries."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.received) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return self.received

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.received.append(Received(headers, body))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        await self.open.wait()
        answer = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": answer})
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def receiver(
    *statuses: int, shut: bool = False, certificate: Path | None = None, **headers: str
) -> AsyncIterator[Receiver]:
    """Serve a receiver on loopback; with `shut` it answers nothing until `open` is set.

    With a `certificate`, a file that has its key too, it serves `https`.
    """
    app = Receiver(list(statuses) or [204], headers)
    if not shut:
        app.open.set()
    async with serve(app, certificate=certificate) as url:
        app.url = f"{url}/hook"
        try:
            yield app
        finally:
            app.open.set()
