"""Watch whether Redis answers this process: every second, and at once after a failed call."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from shared.contract.errors import HoldsUnreachable
from shared.contract.replies import UNANSWERED
from shared.stores.redis.scripts import Scripts

WATCH_SECONDS = 1.0
WATCH_AGAIN_SECONDS = 0.25
"""The interval between checks while Redis does not answer."""
DOUBT_SECONDS = 0.25
"""How long a check after a failed call may take before Redis counts as lost.

A call can fail because it alone was slow, so a failure alone proves nothing.
"""
PARTLY_UNANSWERED = "a master of the cluster does not answer"

log = structlog.get_logger()


class RedisWatch:
    """The problem of Redis that the last check found, or None.

    `on_change` is called whenever `answers` may have changed.
    """

    def __init__(self, redis: Scripts) -> None:
        self._redis = redis
        self._lost = asyncio.Event()
        self.problem: str | None = None
        self.on_change: Callable[[], None] = lambda: None

    @property
    def answers(self) -> bool:
        """Return whether Redis answered the last check; of a cluster, whether any master did."""
        return not self._lost.is_set()

    async def look(self) -> None:
        """Check whether Redis answers and whether it may evict holds."""
        try:
            self._note(await self._redis.problem())
        except HoldsUnreachable:
            self._note(PARTLY_UNANSWERED if await self._redis.any_answers() else UNANSWERED)

    async def is_lost(self) -> bool:
        """Check at once after a failed call; a check that takes longer than `DOUBT_SECONDS` has failed."""
        try:
            async with asyncio.timeout(DOUBT_SECONDS):
                await self.look()
        except TimeoutError:
            self._note(UNANSWERED)
        return not self.answers

    async def watch(self) -> None:
        """Check every second, and more often while Redis is lost."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS):
                    await self._lost.wait()
            await self.look()
            if not self.answers:
                await asyncio.sleep(WATCH_AGAIN_SECONDS)

    def _note(self, problem: str | None) -> None:
        if problem == self.problem:
            return
        self.problem = problem
        if problem is None:
            log.info("redis_is_ready")
        elif problem in (UNANSWERED, PARTLY_UNANSWERED):
            log.warning("redis_lost", problem=problem)
        else:
            log.warning("redis_not_safe", problem=problem)
        if problem == UNANSWERED:
            self._lost.set()
        else:
            self._lost.clear()
        self.on_change()
