"""Batches: whatever is waiting is committed together, so that one round trip serves many commands."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

LARGEST_BATCH = 128
# More than one, so that a batch that waits for a slow server does not hold up all that come after it.
MOST_AT_ONCE = 4


class Batcher(Generic[ItemT, ResultT]):
    """Collects items and hands them to `commit`, which returns one result or exception for each, in order."""

    def __init__(self, commit: Callable[[Sequence[ItemT]], Awaitable[Sequence[ResultT | Exception]]]) -> None:
        self._commit = commit
        self._waiting: deque[tuple[ItemT, asyncio.Future[ResultT]]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, item: ItemT) -> ResultT:
        """The result of `item`, or its exception, once a batch with it has been committed."""
        future: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        # A task that has just ended is listed until its callback is called, and takes nothing more.
        if sum(not task.done() for task in self._running) < MOST_AT_ONCE:
            # It works for many callers: what it logs bears nobody's request id.
            task = asyncio.create_task(self._work(), context=Context())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await future

    async def _work(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(LARGEST_BATCH, len(self._waiting)))]
            items = [item for item, _ in batch]
            try:
                pairs = list(zip(batch, await self._commit(items), strict=True))
            except Exception as error:
                pairs = [(waiting, error) for waiting in batch]
            for (_, future), result in pairs:
                if future.done():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
