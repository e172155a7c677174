"""The deadlines of attempts, which one timer serves."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from shared.client.waiting import Deadlines, Waiting
from shared.contract.errors import Overloaded


def waiting(seconds: float) -> Waiting:
    return Waiting(b"{}", seconds, 0, listen=1, first=True, wakes=True)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_attempt_without_any_time_keeps_no_other_from_its_own(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """On the loop of a test and on that of a gateway: each attempt that is not sent ends at its deadline."""

    async def end_all() -> list[type]:
        deadlines = Deadlines()
        attempts = [waiting(seconds) for seconds in (0.02, 0, -1, 0.01, 0)]
        for attempt in attempts:
            deadlines.add(attempt)
        async with asyncio.timeout(10):
            return [type(await attempt.answer) for attempt in attempts]

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(end_all()) == [Overloaded] * 5
