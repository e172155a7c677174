"""Batches: what waits is committed together, and each gets its own outcome."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

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
    """The outcome of an item that came alone."""
    (outcome,) = await batcher.submit([item])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def test_what_waits_is_committed_together() -> None:
    """While commits are under way, what arrives waits and then shares one."""
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


async def test_each_item_gets_its_own_outcome() -> None:
    """One refused item of a batch does not touch the others."""

    async def commit(items: Sequence[Item], _deadline: Deadline) -> list[int | Exception]:
        return [ValueError(str(item)) if item.number % 2 else item.number for item in items]

    batcher = Batcher(commit, "test")
    outcomes = await asyncio.gather(*(submit(batcher, Item(n)) for n in range(4)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [int, ValueError, int, ValueError]


async def test_a_failed_commit_is_everybodys_failure() -> None:
    """An error of the whole batch reaches each of its items, and the next batch is not touched."""
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


async def test_an_item_given_up_does_not_disturb_its_batch() -> None:
    """A caller that is cancelled leaves the others their outcomes."""
    gate = asyncio.Event()

    async def commit(items: Sequence[Item], _deadline: Deadline) -> list[int | Exception]:
        await gate.wait()
        return [item.number for item in items]

    batcher = Batcher(commit, "test")
    given_up, kept = (
        asyncio.create_task(submit(batcher, Item(1))),
        asyncio.create_task(submit(batcher, Item(2))),
    )
    await asyncio.sleep(0)
    given_up.cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert await kept == 2


async def test_what_comes_with_an_answer_is_committed_too() -> None:
    """An item is taken though it comes in the very moment in which all the commits that there may be end."""
    gate = asyncio.Event()

    async def commit(items: Sequence[Item], _deadline: Deadline) -> list[int | Exception]:
        await gate.wait()
        return [item.number for item in items]

    async def submit_two() -> int:
        return await submit(batcher, Item(1)) + await submit(batcher, Item(1))

    batcher = Batcher(commit, "test")
    submitted = [asyncio.create_task(submit_two())]
    for _ in range(MOST_AT_ONCE - 1):  # each the first of a commit of its own
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        submitted.append(asyncio.create_task(submit(batcher, Item(1))))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate.set()
    async with asyncio.timeout(10):
        assert await asyncio.gather(*submitted) == [2, *[1] * (MOST_AT_ONCE - 1)]


async def test_a_commit_bears_nobodys_request_id() -> None:
    """What a commit logs, it logs for all whose commands are in it, not for the one who came first."""
    seen = list[dict[str, object]]()

    async def commit(items: Sequence[Item], _deadline: Deadline) -> list[int | Exception]:
        seen.append(structlog.contextvars.get_contextvars())
        return [item.number for item in items]

    with structlog.contextvars.bound_contextvars(request_id="of the first"):
        await submit(Batcher(commit, "test"), Item(1))
    assert seen == [{}]


async def test_what_is_due_together_is_committed_together() -> None:
    """A hasty item is committed by its own deadline, and has its outcome though a patient one waits on."""
    going_on, patient = asyncio.Event(), Deadline.after(60)
    hasty = [Deadline(patient.unix_ms - 50_000), Deadline(patient.unix_ms - 49_950)]
    committed = list[tuple[list[int], Deadline]]()

    async def commit(items: Sequence[Item], deadline: Deadline) -> list[int | Exception]:
        committed.append(([item.number for item in items], deadline))
        if deadline == patient:
            await going_on.wait()
        return [item.number for item in items]

    batcher = Batcher(commit, "test")
    waiting = asyncio.create_task(submit(batcher, Item(1, patient)))
    async with asyncio.timeout(10):
        assert await asyncio.gather(
            *(submit(batcher, Item(n, each)) for n, each in enumerate(hasty, start=2))
        ) == [2, 3]
    assert not waiting.done()
    going_on.set()
    assert await waiting == 1
    assert sorted(committed, key=lambda each: each[0]) == [([1], patient), ([2, 3], hasty[0])]


async def test_items_that_came_together_are_answered_together() -> None:
    """Each has its own outcome, in its place, though their deadlines part them into several commits."""
    committed = list[list[int]]()

    async def commit(items: Sequence[Item], _deadline: Deadline) -> list[int | Exception]:
        committed.append([item.number for item in items])
        return [ValueError() if item.number == 3 else item.number for item in items]

    seconds = (60, 5, 60, 5, 600)
    items = [Item(n, Deadline.after(each)) for n, each in enumerate(seconds)]
    outcomes = await Batcher(commit, "test").submit(items)
    assert [each if isinstance(each, int) else type(each) for each in outcomes] == [0, 1, 2, ValueError, 4]
    assert sorted(committed) == [[0, 2], [1, 3], [4]]
    assert await Batcher(commit, "test").submit([]) == []


async def test_deadlines_of_all_kinds_make_few_commits_and_few_at_once() -> None:
    """128 deadlines over more than four seconds share some commits, of which few are under way at once."""
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


async def test_a_heavy_batch_is_a_short_one() -> None:
    """Items that claim much are committed a few at a time: they do not use up the time of all others."""
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


async def test_nobody_waits_beyond_his_deadline() -> None:
    """Behind commits that hang, an item that was not begun is not executed; one that was is unknown."""
    begun = list[int]()

    async def commit(items: Sequence[Item], _deadline: Deadline) -> list[int | Exception]:
        begun.extend(item.number for item in items)
        await asyncio.Event().wait()
        return []

    batcher = Batcher(commit, "test")
    hanging = list[asyncio.Task[int]]()
    for number in range(MOST_AT_ONCE):
        hanging.append(asyncio.create_task(submit(batcher, Item(number, Deadline.after(0.5)))))
        while number not in begun:  # noqa: ASYNC110  # it is a matter of some turns of the loop
            await asyncio.sleep(0)
    with pytest.raises(NotExecuted):
        await submit(batcher, Item(100, Deadline.after(0.05)))
    outcomes = await asyncio.gather(*hanging, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {OutcomeUnknown}
    assert 100 not in begun
