"""Batches: what waits is committed together, and each gets its own outcome."""

import asyncio
from collections.abc import Sequence

import pytest
import structlog

from shared.worker.batcher import LARGEST_BATCH, MOST_AT_ONCE, Batcher


async def test_what_waits_is_committed_together() -> None:
    """While commits are under way, what arrives waits and then shares one."""
    gate, sizes = asyncio.Event(), list[int]()

    async def commit(items: Sequence[int]) -> list[int | Exception]:
        sizes.append(len(items))
        await gate.wait()
        return [item * 2 for item in items]

    batcher = Batcher(commit)
    submitted = [asyncio.create_task(batcher.submit(n)) for n in range(500)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*submitted) == [n * 2 for n in range(500)]
    assert len(sizes) <= MOST_AT_ONCE + 500 // LARGEST_BATCH + 1
    assert max(sizes) <= LARGEST_BATCH


async def test_each_item_gets_its_own_outcome() -> None:
    """One refused item of a batch does not touch the others."""

    async def commit(items: Sequence[int]) -> list[int | Exception]:
        return [ValueError(str(item)) if item % 2 else item for item in items]

    batcher = Batcher(commit)
    outcomes = await asyncio.gather(*(batcher.submit(n) for n in range(4)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [int, ValueError, int, ValueError]


async def test_a_failed_commit_is_everybodys_failure() -> None:
    """An error of the whole batch reaches each of its items, and the next batch is not touched."""
    fail = True

    async def commit(items: Sequence[int]) -> list[int | Exception]:
        if fail:
            raise RuntimeError
        return list(items)

    batcher = Batcher(commit)
    outcomes = await asyncio.gather(*(batcher.submit(n) for n in range(3)), return_exceptions=True)
    assert all(isinstance(outcome, RuntimeError) for outcome in outcomes)
    fail = False
    assert await batcher.submit(1) == 1


async def test_an_item_given_up_does_not_disturb_its_batch() -> None:
    """A caller that is cancelled leaves the others their outcomes."""
    gate = asyncio.Event()

    async def commit(items: Sequence[int]) -> list[int | Exception]:
        await gate.wait()
        return list(items)

    batcher = Batcher(commit)
    given_up, kept = asyncio.create_task(batcher.submit(1)), asyncio.create_task(batcher.submit(2))
    await asyncio.sleep(0)
    given_up.cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert await kept == 2


async def test_what_comes_with_an_answer_is_committed_too() -> None:
    """An item is taken though it comes in the very moment in which all the commits that there may be end."""
    gate = asyncio.Event()

    async def commit(items: Sequence[int]) -> list[int | Exception]:
        await gate.wait()
        return list(items)

    async def submit_two() -> int:
        return await batcher.submit(1) + await batcher.submit(1)

    batcher = Batcher(commit)
    submitted = [asyncio.create_task(submit_two())]
    for _ in range(MOST_AT_ONCE - 1):  # each the first of a commit of its own
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        submitted.append(asyncio.create_task(batcher.submit(1)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate.set()
    async with asyncio.timeout(10):
        assert await asyncio.gather(*submitted) == [2, *[1] * (MOST_AT_ONCE - 1)]


async def test_a_commit_bears_nobodys_request_id() -> None:
    """What a commit logs, it logs for all whose commands are in it, not for the one who came first."""
    seen = list[dict[str, object]]()

    async def commit(items: Sequence[int]) -> list[int | Exception]:
        seen.append(structlog.contextvars.get_contextvars())
        return list(items)

    with structlog.contextvars.bound_contextvars(request_id="of the first"):
        await Batcher(commit).submit(1)
    assert seen == [{}]
