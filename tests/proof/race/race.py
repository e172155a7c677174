"""The race: everyone is released at the same moment, and what each was told is recorded."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from tests.proof.race.connections import Call, Connections
from tests.proof.race.operations import Ask, Operation
from tests.proof.race.options import Via


class Recorder:
    """Asks, and records each ask with its times and its answer."""

    def __init__(self, connections: dict[Via, Connections], on_answer: Callable[[Operation], None]) -> None:
        self.operations: list[Operation] = []
        self.race_seconds = 0.0
        self._connections = connections
        self._on_answer = on_answer
        self.began_at = datetime.now(UTC)
        self._began = time.monotonic()

    async def race(self, asks: Sequence[Ask]) -> list[Operation]:
        """Release all `asks` at once, but those that follow a hold on its heels."""
        gate = asyncio.Barrier(len(asks))
        holds = {slot: _Holds(asks, slot) for slot in {ask.slot for ask in asks}}

        async def contend(ask: Ask) -> Operation:
            call = self._connections[ask.via].build(ask)
            await gate.wait()
            if ask.follows:
                await holds[ask.slot].granted.wait()
            operation = await self._perform(ask, call)
            holds[ask.slot].note(operation)
            return operation

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(contend(ask)) for ask in asks]
        operations = [task.result() for task in tasks]
        released = min(operation.invoked for operation in operations)
        self.race_seconds += max(operation.returned for operation in operations) - released
        return operations

    async def ask(self, ask: Ask) -> Operation:
        """Ask alone."""
        return await self._perform(ask, self._connections[ask.via].build(ask))

    async def _perform(self, ask: Ask, call: Call) -> Operation:
        invoked = time.monotonic() - self._began
        answer = await call()
        operation = Operation(ask, invoked, time.monotonic() - self._began, answer)
        self.operations.append(operation)
        self._on_answer(operation)
        return operation


class _Holds:
    """The holds that race for a slot; `granted` is also set once none of them can be."""

    def __init__(self, asks: Sequence[Ask], slot: str) -> None:
        self.granted = asyncio.Event()
        self._unanswered = sum(ask.kind == "hold" and ask.slot == slot for ask in asks)

    def note(self, operation: Operation) -> None:
        self._unanswered -= operation.ask.kind == "hold"
        if operation.granted or not self._unanswered:
            self.granted.set()
