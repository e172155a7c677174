"""Receivers of webhooks: one works, and the others are broken in every way that a receiver can be.

One HTTP server answers for all of them, each at a path of its own.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

import httpx
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.types import Receive, Scope, Send

from deploy.local.ports import LOOPBACK
from tests.asgi_server import read_body, serve
from tests.proof.faults.history import GONE, HEALTHY, TRAP, Delivery, Webhooks
from tests.proof.faults.recorder import Recorder

DOWN, FAILING, HANGING, REDIRECTING, SLOW = "down", "failing", "hanging", "redirecting", "slow"
STATUSES = {HEALTHY: 204, GONE: 410, SLOW: 204, REDIRECTING: 307, FAILING: 500}
"""What each receiver answers. Nothing listens for `down`; `hanging` never answers."""
SLOW_SECONDS = 1.5
DELIVERED_SECONDS = 30.0
LOOK_SECONDS = 0.2
PATH = "/api/webhooks"


class Receivers:
    """Records each delivery, and answers it as its receiver does."""

    def __init__(self, gateway: httpx.AsyncClient, recorder: Recorder) -> None:
        self._gateway = gateway
        self._recorder = recorder
        self._deliveries: list[Delivery] = []
        self._webhooks: dict[str, dict[str, Any]] = {}
        self.url = ""
        self.closing = asyncio.Event()

    async def register(self, unreachable: str) -> None:
        """Create a webhook for each receiver; `unreachable` is the URL of one that is down."""
        for name in (*STATUSES, HANGING, DOWN):
            url = unreachable if name == DOWN else f"{self.url}/{name}"
            self._webhooks[name] = await self._create(url)

    async def remove(self) -> None:
        """Delete the webhooks."""
        for webhook in self._webhooks.values():
            await self._gateway.delete(f"{PATH}/{webhook['id']}")

    async def settled(self, events: Collection[str], seconds: float) -> Webhooks:
        """Return all deliveries, once the healthy receiver has all events, and the one that is gone ended.

        After `seconds`, return what there is.
        """
        ended: float | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not set(events) <= self._delivered_to(HEALTHY):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_SECONDS)
                while self._delivered_to(GONE) and (ended := await self._ended()) is None:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_SECONDS)
        return Webhooks(tuple(self._deliveries), ended)

    async def _create(self, url: str) -> dict[str, Any]:
        while True:
            answer = await self._gateway.post(PATH, json={"url": url})
            if answer.status_code != 503:
                assert answer.status_code == 201, answer.text
                created: dict[str, Any] = answer.json()
                return created
            await asyncio.sleep(LOOK_SECONDS)

    async def _ended(self) -> float | None:
        answer = await self._gateway.get(PATH)
        found = answer.json().get("webhooks", ()) if answer.is_success else ()
        for webhook in found:
            if webhook["id"] == self._webhooks[GONE]["id"] and "disabledAt" in webhook:
                return self._recorder.moment(datetime.fromisoformat(webhook["disabledAt"]))
        return None

    def _delivered_to(self, name: str) -> set[str]:
        return {delivery.event for delivery in self._deliveries if delivery.receiver == name}

    def _is_genuine(self, name: str, body: bytes, headers: dict[str, str]) -> bool:
        if name not in self._webhooks:
            return False
        try:
            data = Webhook(self._webhooks[name]["secret"]).verify(body, headers)["data"]
        except (WebhookVerificationError, json.JSONDecodeError, KeyError):
            return False
        return f"{data['id']}:{data['version']}" == headers["webhook-id"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name, at = scope["path"].removeprefix("/"), self._recorder.now()
        body = await read_body(receive)
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        genuine = self._is_genuine(name, body, headers)
        self._deliveries.append(Delivery(name, headers.get("webhook-id", ""), at, genuine))
        if name in (HANGING, SLOW):
            with suppress(TimeoutError):
                async with asyncio.timeout(SLOW_SECONDS if name == SLOW else None):
                    await self.closing.wait()
        answer = [(b"location", f"{self.url}/{TRAP}".encode())] if name == REDIRECTING else []
        status = STATUSES.get(name, 204)
        await send({"type": "http.response.start", "status": status, "headers": answer})
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def receivers(gateway: str, recorder: Recorder) -> AsyncIterator[Receivers]:
    """Serve the receivers while the context lasts, and have all events delivered to them."""
    async with httpx.AsyncClient(base_url=gateway, timeout=20) as client:
        app = Receivers(client, recorder)
        with socket.socket() as unheard:  # it keeps the port, and does not listen
            unheard.bind((LOOPBACK, 0))
            async with serve(app) as app.url:
                try:
                    await app.register(f"http://{LOOPBACK}:{unheard.getsockname()[1]}/")
                    yield app
                finally:
                    await app.remove()
                    app.closing.set()
