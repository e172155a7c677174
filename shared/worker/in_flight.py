"""The commands that a worker has in flight: how many, and when they are answered."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from shared.worker.metrics import IN_FLIGHT

MOST_IN_FLIGHT = 1000
FEW_IN_FLIGHT = 250


class InFlightCommands:
    """Counts commands, whether they came alone or many in one message."""

    def __init__(self) -> None:
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._few = asyncio.Event()
        IN_FLIGHT.set_function(lambda: self._count)

    @property
    def count(self) -> int:
        """How many commands are not decided yet."""
        return self._count

    def begin(self, answering: Coroutine[Any, Any, None], *, commands: int = 1) -> None:
        """Run what answers a message of so many commands; it calls `decided` once they are."""
        self._count += commands
        task = asyncio.create_task(answering)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def decided(self, commands: int) -> None:
        """So many commands take no room any more."""
        self._count -= commands
        if self._count <= FEW_IN_FLIGHT:
            self._few.set()

    async def wait_for_capacity(self) -> None:
        """Wait until there is a good deal of room again."""
        self._few.clear()
        if self._count > FEW_IN_FLIGHT:
            await self._few.wait()

    async def wait_until_empty(self) -> None:
        """Wait until every message in flight is answered."""
        while self._tasks:
            await asyncio.wait(self._tasks)
