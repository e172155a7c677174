"""Commit waiting commands in batches, so that one round trip serves many commands.

A batch has the earliest deadline of its items: no command may take effect after its own deadline, when its
next attempt may be in flight. So the most urgent item goes first, together with items that have at most twice
its remaining time. Items with a later deadline wait for a later batch, which leaves them more time.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from shared.contract.deadline import Deadline
from shared.contract.errors import DeadlinePassed, OutcomeUnknown
from shared.worker.metrics import BATCH_SIZE, QUEUE_SECONDS

LARGEST_BATCH = 128
HEAVIEST_BATCH = 2000
# Batches in flight: more than one, so that a slow server does not delay all later batches.
MOST_AT_ONCE = 4
DUE_TOGETHER_MS = 100
"""Deadlines this close together may share a batch, even if little time is left."""
# A commit ends by its deadline, but may return its outcomes a little later.
GRACE_SECONDS = 0.5


class Due(Protocol):
    """An item of a batch: its deadline, and its share of a batch's capacity (one claim weighs 1)."""

    @property
    def deadline(self) -> Deadline: ...

    @property
    def weight(self) -> int: ...


ItemT = TypeVar("ItemT", bound=Due)
ResultT = TypeVar("ResultT")


@dataclass(eq=False)
class _Group(Generic[ItemT, ResultT]):
    """Items that were submitted together and are due together. They share a future and a timer."""

    items: Sequence[ItemT]
    due: Deadline
    weight: int
    outcomes: "asyncio.Future[Sequence[ResultT | Exception]]"
    since: float
    begun: bool = False

    def time_is_up(self) -> None:
        """Refuse the items if their commit has not started; otherwise give the commit some time to end."""
        if self.begun:
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self.refuse, OutcomeUnknown())
        else:
            self.refuse(DeadlinePassed())

    def refuse(self, error: Exception) -> None:
        self.end([error] * len(self.items))

    def end(self, outcomes: Sequence[ResultT | Exception]) -> None:
        if not self.outcomes.done():
            self.outcomes.set_result(outcomes)


class Batcher(Generic[ItemT, ResultT]):
    """Collects items, and passes them to `commit` with their earliest deadline.

    `commit` returns one result or exception per item, in order. `name` is the label of its metrics.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[ItemT], Deadline], Awaitable[Sequence[ResultT | Exception]]],
        name: str,
    ) -> None:
        self._commit = commit
        self._size = BATCH_SIZE.labels(name)
        self._waited = QUEUE_SECONDS.labels(name)
        self._waiting: deque[_Group[ItemT, ResultT]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, items: Sequence[ItemT]) -> list[ResultT | Exception]:
        """Commit items, and return their outcomes in order once all are known.

        An outcome is a result or exception of `commit`, DeadlinePassed if the commit did not start in time,
        or OutcomeUnknown if it did not end in time.
        """
        groups = list(_due_together(items))
        if len(groups) == 1:
            return list(await self._add(items))
        futures = [self._add([items[index] for index in group]) for group in groups]
        outcomes: dict[int, ResultT | Exception] = {}
        for group, future in zip(groups, futures, strict=True):
            outcomes |= zip(group, await future, strict=True)
        return [outcomes[index] for index in range(len(items))]

    def _add(self, items: Sequence[ItemT]) -> "asyncio.Future[Sequence[ResultT | Exception]]":
        loop = asyncio.get_running_loop()
        due = min((item.deadline for item in items), key=lambda deadline: deadline.unix_ms)
        weight = sum(item.weight for item in items)
        group: _Group[ItemT, ResultT] = _Group(items, due, weight, loop.create_future(), loop.time())
        self._waiting.append(group)
        self._start_work()
        timer = loop.call_later(max(due.remaining, 0), group.time_is_up)
        group.outcomes.add_done_callback(lambda _: timer.cancel())
        return group.outcomes

    def _start_work(self) -> None:
        # A task that has ended stays in `_running` until its callback runs, so count unfinished tasks.
        if self._waiting and sum(not task.done() for task in self._running) < MOST_AT_ONCE:
            # An empty context, because a batch serves many requests: its log lines have no request id.
            task = asyncio.create_task(self._work(), context=Context())
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _work(self) -> None:
        while batch := self._next_batch():
            self._start_work()  # for the items left
            await self._settle(batch)

    def _next_batch(self) -> list[_Group[ItemT, ResultT]]:
        """Take the most urgent group, and others in order of arrival; leave groups with far more time."""
        waiting = [group for group in self._waiting if not group.outcomes.done()]  # not refused by its timer
        self._waiting.clear()
        if not waiting:
            return []
        earliest = min((group.due for group in waiting), key=lambda deadline: deadline.unix_ms)
        latest_ms = earliest.unix_ms + max(DUE_TOGETHER_MS, earliest.remaining * 1000)
        batch: list[_Group[ItemT, ResultT]] = []
        count = weight = 0
        for group in sorted(waiting, key=lambda group: group.due is not earliest):  # the most urgent first
            fits = count + len(group.items) <= LARGEST_BATCH and weight + group.weight <= HEAVIEST_BATCH
            if (fits or not batch) and group.due.unix_ms <= latest_ms:
                count, weight = count + len(group.items), weight + group.weight
                batch.append(group)
            else:
                self._waiting.append(group)
        return batch

    async def _settle(self, batch: Sequence[_Group[ItemT, ResultT]]) -> None:
        items = [item for group in batch for item in group.items]
        self._size.observe(len(items))
        self._waited.observe(asyncio.get_running_loop().time() - min(group.since for group in batch))
        for group in batch:
            group.begun = True
        try:
            outcomes = await self._commit(items, Deadline(min(group.due.unix_ms for group in batch)))
        except Exception as error:
            outcomes = [error] * len(items)
        start = 0
        for group in batch:
            group.end(outcomes[start : start + len(group.items)])
            start += len(group.items)


def _due_together(items: Sequence[Due]) -> Iterator[list[int]]:
    """Yield the indexes of items in groups that fit into a batch and have deadlines close together."""
    group: list[int] = []
    start = weight = 0
    order = sorted(range(len(items)), key=lambda index: items[index].deadline.unix_ms)
    for index in order:
        due, heavier = items[index].deadline.unix_ms, weight + items[index].weight
        fits = len(group) < LARGEST_BATCH and heavier <= HEAVIEST_BATCH
        if group and not (fits and due - start <= DUE_TOGETHER_MS):
            yield group
            group, weight = [], 0
        if not group:
            start = due
        group.append(index)
        weight += items[index].weight
    if group:
        yield group
