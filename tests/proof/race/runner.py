"""Send the racing requests at the same moment and record every answer."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from tests.proof.faults.history import Via
from tests.proof.race.connections import Call, Connections
from tests.proof.race.exchanges import Exchange, Request


class RaceRunner:
    """Sends requests, and records each with its times and its answer."""

    def __init__(self, connections: dict[Via, Connections], on_answer: Callable[[Exchange], None]) -> None:
        self.exchanges: list[Exchange] = []
        self.race_seconds = 0.0
        self._connections = connections
        self._on_answer = on_answer
        self.began_at = datetime.now(UTC)
        self._began = time.monotonic()

    async def race(self, requests: Sequence[Request]) -> list[Exchange]:
        """Send all `requests` at once; those that follow a hold wait until one is granted."""
        gate = asyncio.Barrier(len(requests))
        holds = {slot: _Holds(requests, slot) for slot in {request.slot for request in requests}}

        async def contend(request: Request) -> Exchange:
            call = self._connections[request.via].build(request)
            await gate.wait()
            if request.follows:
                await holds[request.slot].granted.wait()
            exchange = await self._perform(request, call)
            holds[request.slot].note(exchange)
            return exchange

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(contend(request)) for request in requests]
        exchanges = [task.result() for task in tasks]
        released = min(exchange.invoked for exchange in exchanges)
        self.race_seconds += max(exchange.returned for exchange in exchanges) - released
        return exchanges

    async def send(self, request: Request) -> Exchange:
        """Send one request by itself."""
        return await self._perform(request, self._connections[request.via].build(request))

    async def _perform(self, request: Request, call: Call) -> Exchange:
        invoked = time.monotonic() - self._began
        reply = await call()
        exchange = Exchange(request, invoked, time.monotonic() - self._began, reply)
        self.exchanges.append(exchange)
        self._on_answer(exchange)
        return exchange


class _Holds:
    """The holds that race for a slot; `granted` is set once one is granted or all are answered."""

    def __init__(self, requests: Sequence[Request], slot: str) -> None:
        self.granted = asyncio.Event()
        self._unanswered = sum(request.kind == "hold" and request.slot == slot for request in requests)

    def note(self, exchange: Exchange) -> None:
        self._unanswered -= exchange.request.kind == "hold"
        if exchange.granted or not self._unanswered:
            self.granted.set()
