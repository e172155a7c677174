"""Callers over HTTP through the gateway, and over NATS directly to the workers, with one interface.

They use plain httpx and nats-py, so that the tests share no code with the product.
"""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
from nats.aio.client import Client

REPLY_SECONDS = 20.0
BACKOFF_SECONDS = 0.02
MOST_REPEATS = 500

Kind = Literal[
    "book", "hold", "release", "get", "cancel", "move", "amend", "history", "list", "slots", "erase"
]
"""The kinds of requests. No caller sends `erase`: operators do that by a command."""


@dataclass(frozen=True)
class Answer:
    """The answer to a caller: status, body, and headers with lower-case names."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""

    @property
    def error(self) -> str:
        text: str = self.body["error"]
        return text


# A request that is built but not yet sent, so that many can be sent at once.
Call = Callable[[], Awaitable[Answer]]


class Caller(ABC):
    """A caller that sends bodies unchanged, so that a test can send invalid ones."""

    name: str

    @abstractmethod
    def build(self, kind: Kind, body: Any, headers: dict[str, str]) -> Call: ...

    async def book(self, body: object, **headers: str) -> Answer:
        return await self.build("book", body, headers)()

    async def hold(self, body: object) -> Answer:
        return await self.build("hold", body, {})()

    async def book_until_done(self, body: object, **headers: str) -> Answer:
        """Repeat a booking while it gets 503: a worker may doubt a server again just after its return."""
        for _ in range(MOST_REPEATS):
            answer = await self.book(body, **headers)
            if answer.status != 503:
                break
            await asyncio.sleep(BACKOFF_SECONDS)
        return answer

    async def get(self, id: str) -> Answer:
        return await self.build("get", {"id": id}, {})()

    async def ask(self, kind: Kind, body: object, **headers: str) -> Answer:
        return await self.build(kind, body, headers)()


@dataclass
class HttpCaller(Caller):
    client: httpx.AsyncClient
    name: str = "http"

    def build(self, kind: Kind, body: Any, headers: dict[str, str]) -> Call:
        method, path = _ROUTES[kind]
        if method in ("GET", "DELETE"):
            query = body if kind in ("list", "slots") else None
            url = path.format(**body)
            request = self.client.build_request(method, url, params=query, headers=headers)
        else:
            if kind in ("move", "amend"):
                path = path.format(**body)
                body = {
                    name: value for name, value in body.items() if name not in ("id", "moveId", "amendId")
                }
            headers = {"Content-Type": "application/json", **headers}
            request = self.client.build_request(method, path, content=_encode(body), headers=headers)

        async def send() -> Answer:
            response = await self.client.send(request)
            return Answer(response.status_code, response.json(), dict(response.headers), response.text)

        return send


@dataclass
class NatsCaller(Caller):
    connection: Client
    name: str = "nats"
    reply_seconds: float = REPLY_SECONDS
    prefix: str = ""
    """What precedes subjects for this user of NATS."""

    def build(self, kind: Kind, body: Any, headers: dict[str, str]) -> Call:
        if isinstance(body, dict) and (key := headers.get("Idempotency-Key")):
            headers = {name: value for name, value in headers.items() if name != "Idempotency-Key"}
            body = {**body, "idempotencyKey": key}
        return self._build(_SUBJECTS[kind], body, headers)

    async def hold(self, body: object) -> Answer:
        """Retry a hold while a booking of its slot is in flight, as the gateway does for its callers."""
        ends = time.monotonic() + self.reply_seconds
        while True:
            answer = await super().hold(body)
            if answer.headers.get("error-type") != "BeingBooked" or time.monotonic() > ends:
                return answer
            await asyncio.sleep(BACKOFF_SECONDS)

    async def request(self, subject: str, body: object, headers: dict[str, str] | None = None) -> Answer:
        return await self._build(subject, body, headers)()

    def _build(self, subject: str, body: object, headers: dict[str, str] | None) -> Call:
        payload = _encode(body)

        async def send() -> Answer:
            message = await self.connection.request(
                self.prefix + subject, payload, timeout=self.reply_seconds, headers=headers
            )
            reply = json.loads(message.data)
            lower = {name.lower(): value for name, value in (message.headers or {}).items()}
            # The contract allows these two keys alone.
            assert set(reply) == {"status", "body"}
            return Answer(reply["status"], reply["body"], lower, message.data.decode())

        return send


_SUBJECTS: dict[Kind, str] = {
    "book": "booking.v1.book",
    "hold": "hold.v1.place",
    "release": "hold.v1.release",
    **{kind: f"booking.v1.{kind}" for kind in ("get", "cancel", "move", "amend", "history", "list", "slots")},
}
_ROUTES: dict[Kind, tuple[str, str]] = {
    "book": ("POST", "/api/book-appointment"),
    "hold": ("POST", "/api/hold-appointment"),
    "release": ("POST", "/api/release-hold"),
    "get": ("GET", "/api/appointments/{id}"),
    "cancel": ("DELETE", "/api/appointments/{id}"),
    "move": ("PATCH", "/api/appointments/{id}"),
    "amend": ("PATCH", "/api/appointments/{id}"),
    "history": ("GET", "/api/appointments/{id}/history"),
    "list": ("GET", "/api/appointments"),
    "slots": ("GET", "/api/slots"),
}


def _encode(body: object) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()
