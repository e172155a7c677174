"""Waiting for intents: one question to Redis for all holds that wait, rarer while nothing changes."""

import asyncio
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass

import structlog

from shared.contract.errors import NotExecuted, Refused
from shared.domain.claim import Claims
from shared.stores.redis.holds import HoldStore

log = structlog.get_logger()
SHORTEST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, eq=False)
class _Waiting:
    claims: Claims
    intents: Sequence[str]
    remaining: asyncio.Future[list[str]]


class IntentWatch:
    """Tells holds when the bookings that they wait for are decided."""

    def __init__(self, holds: HoldStore) -> None:
        self._holds = holds
        self._waiting: set[_Waiting] = set()
        self._poll: asyncio.Task[None] | None = None

    async def next_change(self, claims: Claims, intents: Sequence[str]) -> list[str]:
        """Wait until at least one of the intents is cleared; those that remain.

        Raises:
            NotExecuted: Redis cannot say.
        """
        waiting = _Waiting(claims, intents, asyncio.get_running_loop().create_future())
        self._waiting.add(waiting)
        if self._poll is None or self._poll.done():
            self._poll = asyncio.create_task(self._poll_all(), context=Context())
        try:
            return await waiting.remaining
        finally:
            self._waiting.discard(waiting)

    async def _poll_all(self) -> None:
        pause, waiting = 0.0, list[_Waiting]()
        while self._waiting:
            await asyncio.sleep(pause)
            changed = bool(self._waiting.difference(waiting))
            waiting = list(self._waiting)
            try:
                answers = await self._holds.remaining_intents([(w.claims, w.intents) for w in waiting])
            except Exception as error:
                if not isinstance(error, NotExecuted):
                    log.exception("intents_not_read")
                self._give_up(waiting)
                continue
            self._give_up(
                [each for each, left in zip(waiting, answers, strict=True) if isinstance(left, Refused)]
            )
            for each, remaining in zip(waiting, answers, strict=True):
                if isinstance(remaining, Refused):
                    continue
                if len(remaining) < len(each.intents):
                    changed = True
                    self._waiting.discard(each)
                    if not each.remaining.done():
                        each.remaining.set_result(remaining)
            pause = SHORTEST_PAUSE_SECONDS if changed else pause * 2
            pause = min(max(pause, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)

    def _give_up(self, waiting: Sequence[_Waiting]) -> None:
        self._waiting.difference_update(waiting)
        for each in waiting:
            if not each.remaining.done():
                each.remaining.set_exception(NotExecuted())
