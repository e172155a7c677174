"""Batches: whatever is waiting is committed together, so that one round trip serves many commands.

A batch is committed by the first of its deadlines: none takes effect after its own, when its next attempt may
be under way. So the most urgent goes first, together with what has at most twice its time left, and not with
what has far more, which would lose that time.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from shared.contract.deadline import Deadline
from shared.contract.errors import DeadlinePassed, NotExecuted, OutcomeUnknown
from shared.worker.metrics import BATCH_SIZE, QUEUE_SECONDS

LARGEST_BATCH = 128
HEAVIEST_BATCH = 2000
# More than one, so that a batch that waits for a slow server does not hold up all that come after it.
MOST_AT_ONCE = 4
DUE_TOGETHER_MS = 100
"""Deadlines so near to each other make no difference, however little time is left."""
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

    async def submit(self, item: ItemT) -> ResultT:
        """The result of `item`, or its exception, once a batch with it has been committed.

        Raises:
            DeadlinePassed: before that was begun.
            OutcomeUnknown: it has not ended in time.
        """
        loop = asyncio.get_running_loop()
        waiting: _Waiting[ItemT, ResultT] = _Waiting(item, loop.create_future(), loop.time())
        self._waiting.append(waiting)
        self._start_work()
        timer = loop.call_later(max(item.deadline.remaining, 0), waiting.time_is_up)
        try:
            return await waiting.result
        finally:
            timer.cancel()

    def _start_work(self) -> None:
        # A task that has just ended is listed until its callback is called, and takes nothing more.
        if self._waiting and sum(not task.done() for task in self._running) < MOST_AT_ONCE:
            # It works for many callers: what it logs bears nobody's request id.
            task = asyncio.create_task(self._work(), context=Context())
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _work(self) -> None:
        while batch := self._next_batch():
            self._start_work()  # for what is left
            await self._settle(batch)

    def _next_batch(self) -> list[_Waiting[ItemT, ResultT]]:
        """Take the most urgent items, in the order of their coming; leave those with far more time."""
        waiting = [each for each in self._waiting if not each.result.done()]  # somebody waits for it still
        self._waiting.clear()
        if not waiting:
            return []
        earliest = min((each.item.deadline for each in waiting), key=lambda deadline: deadline.unix_ms)
        latest_ms = earliest.unix_ms + max(DUE_TOGETHER_MS, earliest.remaining * 1000)
        batch: list[_Waiting[ItemT, ResultT]] = []
        weight = 0
        for each in waiting:
            fits = len(batch) < LARGEST_BATCH and (not batch or weight + each.item.weight <= HEAVIEST_BATCH)
            if fits and each.item.deadline.unix_ms <= latest_ms:
                weight += each.item.weight
                batch.append(each)
            else:
                self._waiting.append(each)
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
