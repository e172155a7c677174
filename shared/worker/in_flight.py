"""Count the commands that a worker has in flight, and wait for them."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from shared.worker.metrics import IN_FLIGHT

MOST_IN_FLIGHT = 1000
FEW_IN_FLIGHT = 250


class InFlightCommands:
    """Counts commands, not messages: a message may carry a batch of commands."""

    def __init__(self) -> None:
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._few = asyncio.Event()
        IN_FLIGHT.set_function(lambda: self._count)

    @property
    def count(self) -> int:
        """The number of commands that are not decided yet."""
        return self._count

    def begin(self, answering: Coroutine[Any, Any, None], *, commands: int = 1) -> None:
        """Run the coroutine that answers a message of some commands, and calls `decided` for them."""
        self._count += commands
        task = asyncio.create_task(answering)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def decided(self, commands: int) -> None:
        """Subtract commands that are decided."""
        self._count -= commands
        if self._count <= FEW_IN_FLIGHT:
            self._few.set()

    async def wait_for_capacity(self) -> None:
        """Wait until at most `FEW_IN_FLIGHT` commands are in flight."""
        self._few.clear()
        if self._count > FEW_IN_FLIGHT:
            await self._few.wait()

    async def wait_until_empty(self) -> None:
        """Wait until every message in flight is answered."""
        while self._tasks:
            await asyncio.wait(self._tasks)
