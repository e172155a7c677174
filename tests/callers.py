"""The two ways in, alike: HTTP through the gateway, and NATS straight to the workers."""

import json
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx
from nats.aio.client import Client

REPLY_SECONDS = 20.0


@dataclass(frozen=True)
class Answer:
    """What a caller was told: status, body, and headers with lower-case names."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""

    @property
    def error(self) -> str:
        text: str = self.body["error"]
        return text


class Caller(Protocol):
    """Sends bodies as they are, so that a test can send wrong ones too."""

    name: str

    async def book(self, body: object, **headers: str) -> Answer: ...
    async def hold(self, body: object) -> Answer: ...
    async def get(self, id: str) -> Answer: ...


@dataclass
class HttpCaller:
    client: httpx.AsyncClient
    name: str = "http"

    async def book(self, body: object, **headers: str) -> Answer:
        return await self._post("/api/book-appointment", body, headers)

    async def hold(self, body: object) -> Answer:
        return await self._post("/api/hold-appointment", body, {})

    async def get(self, id: str) -> Answer:
        return _read(await self.client.get(f"/api/appointments/{id}"))

    async def _post(self, path: str, body: object, headers: dict[str, str]) -> Answer:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **headers}
        return _read(await self.client.post(path, content=content, headers=headers))


def _read(response: httpx.Response) -> Answer:
    return Answer(response.status_code, response.json(), dict(response.headers), response.text)


@dataclass
class NatsCaller:
    connection: Client
    name: str = "nats"

    async def book(self, body: object, **headers: str) -> Answer:
        if isinstance(body, dict) and (key := headers.pop("Idempotency-Key", None)):
            body = {**body, "idempotencyKey": key}
        return await self.request("booking.v1.book", body, headers)

    async def hold(self, body: object) -> Answer:
        return await self.request("hold.v1.place", body)

    async def get(self, id: str) -> Answer:
        return await self.request("booking.v1.get", {"id": id})

    async def request(self, subject: str, body: object, headers: dict[str, str] | None = None) -> Answer:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        message = await self.connection.request(subject, payload, timeout=REPLY_SECONDS, headers=headers)
        reply = json.loads(message.data)
        lower = {name.lower(): value for name, value in (message.headers or {}).items()}
        # Only the two keys that the contract names.
        assert set(reply) == {"status", "body"}
        return Answer(reply["status"], reply["body"], lower, message.data.decode())
