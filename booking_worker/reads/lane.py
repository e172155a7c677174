"""Bound the share of a worker that lists take: few windows at a time, with a pause after each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.contract.deadline import Deadline
from shared.contract.errors import Overloaded
from shared.stores.mongo.connection import READ_AT_ONCE

MOST_WAITING = 256
LONGEST_WAIT_SECONDS = 0.5
"""Shorter than an attempt, so that its caller gets a refusal before it sends the next attempt."""
REST_FACTOR = 5
"""A turn pauses for this many times the duration of its window, so bookings get most of the time."""
LONGEST_REST_SECONDS = 0.25
TOO_MANY = "Too many lists are read at once; nothing was done"


class ReadingLane:
    """Grants turns to read, first come, first served."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(READ_AT_ONCE)
        self._waiting = 0

    @asynccontextmanager
    async def turn(self, deadline: Deadline) -> AsyncIterator[None]:
        """Wait for a turn, and hold it while the context is open.

        Raises:
            Overloaded: too many reads wait, or no turn came within `LONGEST_WAIT_SECONDS`.
            DeadlinePassed: the deadline passed before the turn came.
        """
        deadline.check()
        if self._waiting == MOST_WAITING:
            raise Overloaded(TOO_MANY)
        self._waiting += 1
        try:
            async with asyncio.timeout(min(LONGEST_WAIT_SECONDS, deadline.remaining)):
                await self._turns.acquire()
        except TimeoutError:
            raise Overloaded(TOO_MANY) from None
        finally:
            self._waiting -= 1
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            deadline.check()
            yield
        finally:
            rest = min(REST_FACTOR * (loop.time() - began), LONGEST_REST_SECONDS)
            loop.call_later(rest, self._turns.release)
