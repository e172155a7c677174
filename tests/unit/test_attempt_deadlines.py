"""The deadlines of attempts, which share one timer."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from shared.client.pending import Deadlines, PendingCommand
from shared.contract.errors import Overloaded


def pending(seconds: float) -> PendingCommand:
    return PendingCommand(b"{}", seconds, 0, listen=1, first=True, wakes=True)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_attempt_without_time_does_not_shorten_the_time_of_others(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """On asyncio's and uvloop's event loop, every unsent attempt ends at its own deadline."""

    async def end_all() -> list[type]:
        deadlines = Deadlines()
        attempts = [pending(seconds) for seconds in (0.02, 0, -1, 0.01, 0)]
        for attempt in attempts:
            deadlines.add(attempt)
        async with asyncio.timeout(10):
            return [type(await attempt.answer) for attempt in attempts]

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(end_all()) == [Overloaded] * 5
