"""Batches: whatever is waiting is committed together, so that one round trip serves many commands.

What is due together is committed together: none takes effect after its own deadline, when its next attempt
may be under way, and none waits for a more patient one.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import Context
from typing import Any, Generic, Protocol, TypeVar

from shared.contract.deadline import Deadline

LARGEST_BATCH = 128
# More than one, so that a batch that waits for a slow server does not hold up all that come after it.
MOST_AT_ONCE = 4
DUE_TOGETHER_MS = 100


class Due(Protocol):
    """What has to be committed by some time."""

    @property
    def deadline(self) -> Deadline: ...


ItemT = TypeVar("ItemT", bound=Due)
ResultT = TypeVar("ResultT")
Waiting = tuple[ItemT, asyncio.Future[ResultT]]


class Batcher(Generic[ItemT, ResultT]):
    """Collects items and hands them to `commit`, with the first of their deadlines.

    `commit` returns one result or exception for each, in order.
    """

    def __init__(
        self, commit: Callable[[Sequence[ItemT], Deadline], Awaitable[Sequence[ResultT | Exception]]]
    ) -> None:
        self._commit = commit
        self._waiting: deque[Waiting[ItemT, ResultT]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._aside: set[asyncio.Task[None]] = set()

    async def submit(self, item: ItemT) -> ResultT:
        """The result of `item`, or its exception, once a batch with it has been committed."""
        future: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        # A task that has just ended is listed until its callback is called, and takes nothing more.
        if sum(not task.done() for task in self._running) < MOST_AT_ONCE:
            _start(self._work(), self._running)
        return await future

    async def _work(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(LARGEST_BATCH, len(self._waiting)))]
            first, *others = _due_together(batch)
            for group in others:
                _start(self._settle(group), self._aside)
            await self._settle(first)

    async def _settle(self, batch: Sequence[Waiting[ItemT, ResultT]]) -> None:
        items = [item for item, _ in batch]
        earliest = min((item.deadline for item in items), key=lambda deadline: deadline.unix_ms)
        try:
            pairs = list(zip(batch, await self._commit(items, earliest), strict=True))
        except Exception as error:
            pairs = [(waiting, error) for waiting in batch]
        for (_, future), result in pairs:
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


def _due_together(batch: list[Waiting[ItemT, ResultT]]) -> list[list[Waiting[ItemT, ResultT]]]:
    moments = [item.deadline.unix_ms for item, _ in batch]
    if max(moments) - min(moments) <= DUE_TOGETHER_MS:
        return [batch]
    groups: list[list[Waiting[ItemT, ResultT]]] = []
    first = 0
    for moment, _, waiting in sorted(zip(moments, range(len(batch)), batch, strict=True)):
        if not groups or moment - first > DUE_TOGETHER_MS:
            groups.append([])
            first = moment
        groups[-1].append(waiting)
    return groups


def _start(work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
    """It works for many callers: what it logs bears nobody's request id."""
    task = asyncio.create_task(work, context=Context())
    tasks.add(task)
    task.add_done_callback(tasks.discard)
