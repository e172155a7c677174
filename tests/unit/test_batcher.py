"""The batcher commits waiting items together, and returns a separate outcome for each item."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter

import pytest
import structlog

from shared.contract.deadline import Deadline
from shared.contract.errors import NotExecuted, OutcomeUnknown
from shared.worker.batcher import HEAVIEST_BATCH, LARGEST_BATCH, MOST_AT_ONCE, Batcher


@dataclass(frozen=True)
class Item:
    number: int
    deadline: Deadline = field(default_factory=lambda: Deadline.after(60))
    weight: int = 1


async def submit(batcher: Batcher[Item, int], item: Item) -> int:
    """Submit one item alone, and return its outcome."""
    (outcome,) = await batcher.submit([item])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def test_waiting_items_share_a_commit() -> None:
    """While commits are in flight, new items wait and then share one commit."""
    gate, sizes = asyncio.Event(), list[int]()

    async def commit(items: Sequence[Item], _deadline: Deadline) -> list[int | Exception]:
        sizes.append(len(items))
        await gate.wait()
        return [item.number * 2 for item in items]

    batcher = Batcher(commit, "test")
    submitted = [asyncio.create_task(submit(batcher, Item(n))) for n in range(500)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*submitted) == [n * 2 for n in range(500)]
    assert len(sizes) <= MOST_AT_ONCE + 500 // LARGEST_BATCH + 1
    assert max(sizes) <= LARGEST_BATCH


async def test_refused_item_does_not_change_the_outcome_of_others() -> None:
    """One refused item of a batch leaves the outcomes of the other items unchanged."""

    async def commit(items: Sequence[Item], _deadline: Deadline) -> list[int | Exception]:
        return [ValueError(str(item)) if item.number % 2 else item.number for item in items]

    batcher = Batcher(commit, "test")
    outcomes = await asyncio.gather(*(submit(batcher, Item(n)) for n in range(4)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [int, ValueError, int, ValueError]


async def test_failed_commit_fails_every_item_of_its_batch() -> None:
    """An error of the whole batch is every item's outcome, and does not affect the next batch."""
    fail = True

    async def commit(items: Sequence[Item], _deadline: Deadline) -> list[int | Exception]:
        if fail:
            raise RuntimeError
        return [item.number for item in items]

    batcher = Batcher(commit, "test")
    outcomes = await asyncio.gather(*(submit(batcher, Item(n)) for n in range(3)), return_exceptions=True)
    assert all(isinstance(outcome, RuntimeError) for outcome in outcomes)
    fail = False
    assert await submit(batcher, Item(1)) == 1


async def test_cancelled_caller_does_not_disturb_its_batch() -> None:
    """When one caller is cancelled, the other callers still get their outcomes."""
    gate = asyncio.Event()

    async def commit(items: Sequence[Item], _deadline: Deadline) -> list[int | Exception]:
        await gate.wait()
        return [item.number for item in items]

    batcher = Batcher(commit, "test")
    cancelled, kept = (
        asyncio.create_task(submit(batcher, Item(1))),
        asyncio.create_task(submit(batcher, Item(2))),
    )
    await asyncio.sleep(0)
    cancelled.cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert await kept == 2


async def test_item_that_arrives_while_the_last_commit_ends_is_committed() -> None:
    """An item is committed even if it arrives in the moment in which every possible commit ends."""
    gate = asyncio.Event()

    async def commit(items: Sequence[Item], _deadline: Deadline) -> list[int | Exception]:
        await gate.wait()
        return [item.number for item in items]

    async def submit_two() -> int:
        return await submit(batcher, Item(1)) + await submit(batcher, Item(1))

    batcher = Batcher(commit, "test")
    submitted = [asyncio.create_task(submit_two())]
    for _ in range(MOST_AT_ONCE - 1):  # every item starts a commit of its own
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        submitted.append(asyncio.create_task(submit(batcher, Item(1))))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate.set()
    async with asyncio.timeout(10):
        assert await asyncio.gather(*submitted) == [2, *[1] * (MOST_AT_ONCE - 1)]


async def test_commit_logs_without_a_request_id() -> None:
    """A commit logs for all of its commands, so it does not use the first command's request id."""
    seen = list[dict[str, object]]()

    async def commit(items: Sequence[Item], _deadline: Deadline) -> list[int | Exception]:
        seen.append(structlog.contextvars.get_contextvars())
        return [item.number for item in items]

    with structlog.contextvars.bound_contextvars(request_id="of the first"):
        await submit(Batcher(commit, "test"), Item(1))
    assert seen == [{}]


async def test_items_with_close_deadlines_share_a_commit() -> None:
    """An urgent item is committed by its own deadline, and does not wait for an item with a later one."""
    may_end, patient = asyncio.Event(), Deadline.after(60)
    urgent = [Deadline(patient.unix_ms - 50_000), Deadline(patient.unix_ms - 49_950)]
    committed = list[tuple[list[int], Deadline]]()

    async def commit(items: Sequence[Item], deadline: Deadline) -> list[int | Exception]:
        committed.append(([item.number for item in items], deadline))
        if deadline == patient:
            await may_end.wait()
        return [item.number for item in items]

    batcher = Batcher(commit, "test")
    waiting = asyncio.create_task(submit(batcher, Item(1, patient)))
    async with asyncio.timeout(10):
        assert await asyncio.gather(
            *(submit(batcher, Item(n, deadline)) for n, deadline in enumerate(urgent, start=2))
        ) == [2, 3]
    assert not waiting.done()
    may_end.set()
    assert await waiting == 1
    assert sorted(committed, key=itemgetter(0)) == [([1], patient), ([2, 3], urgent[0])]


async def test_items_submitted_together_keep_their_order_of_outcomes() -> None:
    """Outcomes are in the order of the items, even if deadlines split the items into several commits."""
    committed = list[list[int]]()

    async def commit(items: Sequence[Item], _deadline: Deadline) -> list[int | Exception]:
        committed.append([item.number for item in items])
        return [ValueError() if item.number == 3 else item.number for item in items]

    seconds = (60, 5, 60, 5, 600)
    items = [Item(n, Deadline.after(ahead)) for n, ahead in enumerate(seconds)]
    outcomes = await Batcher(commit, "test").submit(items)
    assert [each if isinstance(each, int) else type(each) for each in outcomes] == [0, 1, 2, ValueError, 4]
    assert sorted(committed) == [[0, 2], [1, 3], [4]]
    assert await Batcher(commit, "test").submit([]) == []


async def test_mixed_deadlines_make_few_commits() -> None:
    """128 deadlines over more than four seconds share a few commits, of which few are in flight at once."""
    at_once, most, commits = 0, 0, list[tuple[int, bool]]()

    async def commit(items: Sequence[Item], deadline: Deadline) -> list[int | Exception]:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        commits.append((len(items), all(item.deadline.unix_ms >= deadline.unix_ms for item in items)))
        await asyncio.sleep(0.005)
        at_once -= 1
        return [item.number for item in items]

    batcher = Batcher(commit, "test")
    items = [Item(n, Deadline.after(0.3 + (n * 37 % 128) * 4.4 / 128)) for n in range(128)]
    assert await asyncio.gather(*(submit(batcher, item) for item in items)) == list(range(128))
    assert most <= MOST_AT_ONCE
    assert len(commits) <= 6
    assert all(in_time for _, in_time in commits)


async def test_batch_of_heavy_items_is_short() -> None:
    """Items with many claims are committed a few at a time, so that other items keep their deadlines."""
    sizes = list[int]()

    async def commit(items: Sequence[Item], _deadline: Deadline) -> list[int | Exception]:
        sizes.append(sum(item.weight for item in items))
        await asyncio.sleep(0)
        return [item.number for item in items]

    batcher = Batcher(commit, "test")
    weights = [600] * 30 + [HEAVIEST_BATCH + 1] + [1] * 200
    items = [Item(n, weight=weight) for n, weight in enumerate(weights)]
    await asyncio.gather(*(submit(batcher, item) for item in items))
    assert sum(sizes) == sum(weights)
    assert sorted(sizes)[-2] <= HEAVIEST_BATCH < max(sizes)


async def test_item_gets_an_outcome_at_its_deadline() -> None:
    """Behind hanging commits, an item that was not begun is not executed; a begun one is unknown."""
    begun = list[int]()

    async def commit(items: Sequence[Item], _deadline: Deadline) -> list[int | Exception]:
        begun.extend(item.number for item in items)
        await asyncio.Event().wait()
        return []

    batcher = Batcher(commit, "test")
    hanging = list[asyncio.Task[int]]()
    for number in range(MOST_AT_ONCE):
        hanging.append(asyncio.create_task(submit(batcher, Item(number, Deadline.after(0.5)))))
        while number not in begun:  # noqa: ASYNC110 (this takes a few turns of the event loop)
            await asyncio.sleep(0)
    with pytest.raises(NotExecuted):
        await submit(batcher, Item(100, Deadline.after(0.05)))
    outcomes = await asyncio.gather(*hanging, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {OutcomeUnknown}
    assert 100 not in begun
