"""Let time pass in the event loop of a test, so that timers fire and nothing waits for them.

A client with a timeout of many seconds then meets its deadlines at once, and a slow machine meets none by
itself.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch


class LoopClock:
    """The clock of the running event loop, which skips what a test lets pass."""

    def __init__(self) -> None:
        self._time = asyncio.get_running_loop().time
        self._skipped = 0.0

    def time(self) -> float:
        """Return the time of the event loop, in seconds."""
        return self._time() + self._skipped

    def skip(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._skipped += max(seconds, 0)

    def skip_to(self, moment: float) -> None:
        """Let the time pass until a moment of this clock."""
        self.skip(moment - self.time())

    def at(self, deadline: int) -> float:
        """Return the moment of a deadline in Unix milliseconds, if nothing was skipped since it was set."""
        return self.time() + deadline / 1000 - time.time()


@contextmanager
def skipping() -> Iterator[LoopClock]:
    """Give the running event loop a clock that can skip."""
    clock = LoopClock()
    with patch.object(asyncio.get_running_loop(), "time", clock.time):
        yield clock
