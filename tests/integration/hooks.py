"""A stack that delivers webhooks: NATS, a gateway, and processes of `gateway.webhooks`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import nats
from nats.aio.client import Client

from booking_worker.events.publisher import EventPublisher
from shared.contract.audit import AuditedEvent
from shared.contract.events import EventPlace, EventType
from shared.process.settings import EventSettings
from tests.integration.receiver import WAIT_SECONDS, Receiver
from tests.servers import Servers
from tests.slots import fresh_site
from tests.stack import Service, Stack, wait_until

KIND = "gateway.webhooks"
FAST = {
    "WEBHOOKS_ALLOW_PRIVATE": "true",
    "WEBHOOKS_FIRST_RETRY_SECONDS": "0.05",
    "WEBHOOKS_TIMEOUT_SECONDS": "2",
}


@dataclass
class Hooks:
    """The stack, a publisher of events, and the API."""

    stack: Stack
    connection: Client
    http: httpx.AsyncClient

    def start(self, **env: str) -> Service:
        """Start a process that delivers, and wait until it serves."""
        service = self.stack.start(KIND, **env)
        wait_until(lambda: service.problem() is None, "the process serves")
        return service

    async def create(self, receiver: Receiver, **more: Any) -> dict[str, Any]:
        """Create a webhook; its answer."""
        answer = await self.http.post(
            "/api/webhooks", json={"url": receiver.url, "site": fresh_site(), **more}
        )
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()
        return created

    async def post(self, webhook: dict[str, Any], call: str, **body: Any) -> dict[str, Any]:
        answer = await self.http.post(f"/api/webhooks/{webhook['id']}/{call}", json=body or None)
        assert answer.is_success, answer.text
        said: dict[str, Any] = answer.json()
        return said

    async def publish(self, site: str, *types: EventType) -> list[str]:
        """Publish an event per type, each of a booking of its own; return their ids."""
        events = [event_of(site, type) for type in types or ("booked",)]
        await EventPublisher(self.connection, EventSettings()).publish(events)
        return [event.event_id for event in events]

    async def deliveries(self, webhook: dict[str, Any]) -> list[dict[str, Any]]:
        answer = await self.http.get(f"/api/webhooks/{webhook['id']}/deliveries")
        found: list[dict[str, Any]] = answer.json()["deliveries"]
        return found

    async def until(
        self, webhook: dict[str, Any], condition: Callable[[list[dict[str, Any]]], bool]
    ) -> list[dict[str, Any]]:
        """Return the deliveries of a webhook, once they are as they should be."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition(found := await self.deliveries(webhook)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return found


def event_of(site: str, type: EventType) -> AuditedEvent:
    at = datetime.now(UTC).replace(microsecond=0)
    place = EventPlace(resources=("dr-lee",), slot=datetime(2031, 5, 4, 9, tzinfo=UTC), durationMinutes=5)
    return AuditedEvent(type=type, at=at, id=str(uuid4()), version=1, site=site, place=place)


@asynccontextmanager
async def hooks(servers: Servers, *, processes: int = 1, **env: str) -> AsyncIterator[Hooks]:
    """Start a gateway and processes that deliver, on a NATS of their own with an event stream."""
    with servers.new_stack(**{**FAST, **env}) as stack:
        connection = await nats.connect(stack.env["NATS_URL"])
        try:
            await EventPublisher(connection, EventSettings()).create_stream()
            stack.start_gateway()
            async with httpx.AsyncClient(base_url=stack.url, timeout=20) as http:
                started = Hooks(stack, connection, http)
                for _ in range(processes):
                    started.start()
                ready = 200 if processes else 503
                wait_until(lambda: httpx.get(f"{stack.url}/api/webhooks").status_code == ready, "it is ready")
                yield started
        finally:
            await connection.close()
