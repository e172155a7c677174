"""The events of a stack: a relay as a process, and the stream as a consumer reads it."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from tests.integration.life import Life
from tests.servers import Servers
from tests.stack import Service, Stack

WAIT_SECONDS = 20.0
RELAY = "booking_worker.events"


@dataclass
class EventLog:
    """A stack with a relay, a caller of its workers, and its event stream."""

    stack: Stack
    connection: Client
    life: Life

    def start_relay(self, without: str = "", **env: str) -> Service:
        return self.stack.start(RELAY, without=without, **env)

    async def stored(self) -> list[Msg]:
        """All events in the stream, in its order."""
        jetstream = self.connection.jetstream()
        try:
            last = (await jetstream.stream_info("EVENTS")).state.last_seq
        except NotFoundError:
            return []
        found: list[Msg] = []
        subscription = await jetstream.subscribe("event.v1.>", ordered_consumer=True)
        while last and (not found or found[-1].metadata.sequence.stream < last):
            found.append(await subscription.next_msg(WAIT_SECONDS))
        await subscription.unsubscribe()
        return found

    async def until(self, ids: Sequence[str]) -> list[Msg]:
        """The events in the stream, once all of these are there."""
        ends = asyncio.get_running_loop().time() + WAIT_SECONDS
        while True:
            found = await self.stored()
            if set(ids) <= set(ids_of(found)):
                return found
            assert asyncio.get_running_loop().time() < ends, (ids, ids_of(found))
            await asyncio.sleep(0.05)


def ids_of(events: Sequence[Msg]) -> list[str]:
    return [(event.headers or {})["ce-id"] for event in events]


def data_of(event: Msg) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(event.data)
    return data


@asynccontextmanager
async def event_log(servers: Servers, **env: str) -> AsyncIterator[EventLog]:
    """A stack with a booking worker, and a relay that is not started yet."""
    with servers.new_stack(**env) as stack:
        stack.start("booking_worker")
        stack.wait_serving()
        connection = await nats.connect(stack.env["NATS_URL"])
        try:
            yield EventLog(stack, connection, Life(connection))
        finally:
            await connection.close()
