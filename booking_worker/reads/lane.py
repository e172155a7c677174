"""The share of a worker that lists may take: so many windows at a time, however many are asked for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.contract.deadline import Deadline
from shared.contract.errors import Overloaded
from shared.stores.mongo.connection import READ_AT_ONCE

MOST_WAITING = 256
LONGEST_WAIT_SECONDS = 0.5
"""Less than an attempt takes: its caller is told before it sends another."""
RESTS = 5
"""After a window its turn rests for so many times as long as that took: bookings have the greater share."""
LONGEST_REST_SECONDS = 0.25
TOO_MANY = "Too many lists are read at once; nothing was done"


class ReadingLane:
    """Gives turns to read, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(READ_AT_ONCE)
        self._waiting = 0

    @asynccontextmanager
    async def turn(self, deadline: Deadline) -> AsyncIterator[None]:
        """Read while the context lasts.

        Raises:
            Overloaded: too many wait, or no turn has come soon.
            DeadlinePassed
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
            rest = min(RESTS * (loop.time() - began), LONGEST_REST_SECONDS)
            loop.call_later(rest, self._turns.release)
