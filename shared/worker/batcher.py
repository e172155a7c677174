"""Batches: whatever is waiting is committed together, so that one round trip serves many commands.

What is due together is committed together: none takes effect after its own deadline, when its next attempt
may be under way, and none waits for a more patient one.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from shared.contract.deadline import Deadline
from shared.contract.errors import DeadlinePassed, NotExecuted, OutcomeUnknown
from shared.worker.metrics import BATCH_SIZE, QUEUE_SECONDS

LARGEST_BATCH = 128
HEAVIEST_BATCH = 2000
# More than one, so that a batch that waits for a slow server does not hold up all that come after it.
MOST_AT_ONCE = 4
DUE_TOGETHER_MS = 100
# A commit ends by its deadline, and may have some words to say after that.
GRACE_SECONDS = 0.5


class Due(Protocol):
    """What has to be committed by some time, and how much of a batch it fills: a claim weighs 1."""

    @property
    def deadline(self) -> Deadline: ...

    @property
    def weight(self) -> int: ...


ItemT = TypeVar("ItemT", bound=Due)
ResultT = TypeVar("ResultT")


@dataclass(eq=False)
class _Waiting(Generic[ItemT, ResultT]):
    item: ItemT
    result: "asyncio.Future[ResultT]"
    since: float
    begun: bool = False

    def time_is_up(self) -> None:
        """What was not begun will not be; what was has some time to end."""
        if self.begun:
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self.refuse, OutcomeUnknown())
        else:
            self.refuse(DeadlinePassed())

    def refuse(self, error: NotExecuted | OutcomeUnknown) -> None:
        if not self.result.done():
            self.result.set_exception(error)


class Batcher(Generic[ItemT, ResultT]):
    """Collects items and hands them to `commit`, with the first of their deadlines.

    `commit` returns one result or exception for each, in order. `name` is what metrics call it.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[ItemT], Deadline], Awaitable[Sequence[ResultT | Exception]]],
        name: str,
    ) -> None:
        self._commit = commit
        self._size = BATCH_SIZE.labels(name)
        self._waited = QUEUE_SECONDS.labels(name)
        self._waiting: deque[_Waiting[ItemT, ResultT]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._aside: set[asyncio.Task[None]] = set()

    async def submit(self, item: ItemT) -> ResultT:
        """The result of `item`, or its exception, once a batch with it has been committed.

        Raises:
            DeadlinePassed: before that was begun.
            OutcomeUnknown: it has not ended in time.
        """
        loop = asyncio.get_running_loop()
        waiting: _Waiting[ItemT, ResultT] = _Waiting(item, loop.create_future(), loop.time())
        self._waiting.append(waiting)
        # A task that has just ended is listed until its callback is called, and takes nothing more.
        if sum(not task.done() for task in self._running) < MOST_AT_ONCE:
            _start(self._work(), self._running)
        timer = loop.call_later(max(item.deadline.remaining, 0), waiting.time_is_up)
        try:
            return await waiting.result
        finally:
            timer.cancel()

    async def _work(self) -> None:
        while batch := self._next_batch():
            first, *others = _due_together(batch)
            for group in others:
                _start(self._settle(group), self._aside)
            await self._settle(first)

    def _next_batch(self) -> list[_Waiting[ItemT, ResultT]]:
        batch: list[_Waiting[ItemT, ResultT]] = []
        weight = 0
        while self._waiting and len(batch) < LARGEST_BATCH:
            waiting = self._waiting[0]
            if waiting.result.done():  # nobody waits for it any more
                self._waiting.popleft()
                continue
            weight += waiting.item.weight
            if batch and weight > HEAVIEST_BATCH:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _settle(self, batch: Sequence[_Waiting[ItemT, ResultT]]) -> None:
        items = [waiting.item for waiting in batch]
        self._size.observe(len(batch))
        self._waited.observe(asyncio.get_running_loop().time() - min(waiting.since for waiting in batch))
        for waiting in batch:
            waiting.begun = True
        earliest = min((item.deadline for item in items), key=lambda deadline: deadline.unix_ms)
        try:
            pairs = list(zip(batch, await self._commit(items, earliest), strict=True))
        except Exception as error:
            pairs = [(waiting, error) for waiting in batch]
        for waiting, result in pairs:
            if waiting.result.done():
                continue
            if isinstance(result, Exception):
                waiting.result.set_exception(result)
            else:
                waiting.result.set_result(result)


def _due_together(batch: list[_Waiting[ItemT, ResultT]]) -> list[list[_Waiting[ItemT, ResultT]]]:
    moments = [waiting.item.deadline.unix_ms for waiting in batch]
    if max(moments) - min(moments) <= DUE_TOGETHER_MS:
        return [batch]
    groups: list[list[_Waiting[ItemT, ResultT]]] = []
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
