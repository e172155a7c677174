"""The lane of reads: two windows are read at a time, within their deadlines."""

import asyncio

import pytest

from booking_worker.reads.lane import MOST_WAITING, ReadingLane
from shared.contract.deadline import Deadline
from shared.contract.errors import DeadlinePassed, Overloaded
from tests.integration.test_windows import (
    life,  # noqa: F401  # a fixture
)


async def test_two_windows_are_read_at_a_time() -> None:
    """Two windows are read at a time; further reads wait in order, and too many get Overloaded at once."""
    lane, order, go = ReadingLane(), list[int](), asyncio.Event()

    async def read(number: int) -> None:
        async with lane.turn(Deadline.after(5)):
            order.append(number)
            await go.wait()

    readers = [asyncio.create_task(read(number)) for number in range(MOST_WAITING + 2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order == [0, 1]
    with pytest.raises(Overloaded):
        await read(-1)
    go.set()
    await asyncio.gather(*readers)
    assert order == list(range(MOST_WAITING + 2))


async def test_a_read_past_its_deadline_takes_no_turn() -> None:
    """A read whose deadline passes before its turn is refused, and the next read still gets its turn."""
    lane = ReadingLane()
    with pytest.raises(DeadlinePassed):
        async with lane.turn(Deadline.after(-0.001)):
            pytest.fail("its deadline had passed")
    async with lane.turn(Deadline.after(5)), lane.turn(Deadline.after(5)):
        with pytest.raises(Overloaded):
            async with lane.turn(Deadline.after(0.05)):
                pytest.fail("there was no turn")
    async with lane.turn(Deadline.after(5)):
        pass
