"""Intents of what is being decided: registered before the write, cleared after the callers are answered."""

import asyncio
from collections.abc import Iterable, Sequence
from contextvars import Context

import structlog

from shared.contract.deadline import Deadline
from shared.contract.errors import HoldsUnreachable
from shared.stores.redis.intents import BookingIntent, HoldState, IntentStore

PASSING = {HoldState.FREE, HoldState.MINE, HoldState.UNREACHABLE}
"""What may go on: where Redis cannot say what is held, it goes on without."""
REGISTERED = {HoldState.FREE, HoldState.MINE, HoldState.NOT_ASKED}
"""Where an intent may stand: one that could not be asked for may have been registered all the same."""

log = structlog.get_logger()


class Intents:
    """Those of one worker, whatever it does with slots."""

    def __init__(self, store: IntentStore) -> None:
        self._store = store
        self._clearing: set[asyncio.Task[None]] = set()
        self._others: list[tuple[BookingIntent, bool]] = []
        self._sweep: asyncio.Task[None] | None = None

    async def register(self, intents: Sequence[BookingIntent], deadline: Deadline) -> list[HoldState]:
        """What each finds held, in their order; those that may pass are registered."""
        if not intents:
            return []
        states = await self._store.register_intents(intents, seconds=deadline.remaining)
        if unread := states.count(HoldState.UNREACHABLE):
            log.warning("holds_unreachable", effect="booking goes on without them", bookings=unread)
        return states

    def clear(self, decided: Iterable[tuple[BookingIntent, HoldState, bool]]) -> None:
        """Clear the intents of what is decided: what each found held, and whether its booking stands.

        One that stands uses up its patient's holds, which nobody may see then: it is cleared by itself. The
        others, which keep holds away, are cleared as soon as Redis has cleared those before them, together
        with what is decided meanwhile. No answer waits for it, though Redis may hang. What is unknown may
        still be made: its intent has to stay.
        """
        using_up: list[tuple[BookingIntent, bool]] = []
        for intent, state, stands in decided:
            used_up = state is HoldState.MINE and stands
            (using_up if used_up else self._others).append((intent, used_up))
        self._begin(using_up)
        if self._others and (self._sweep is None or self._sweep.done()):
            self._sweep = asyncio.create_task(self._clear_others(), context=Context())

    async def _clear_others(self) -> None:
        while self._others:
            left, self._others = self._others, []
            await self._clear(left)

    def _begin(self, known: Sequence[tuple[BookingIntent, bool]]) -> None:
        if known:
            task = asyncio.create_task(self._clear(known))
            self._clearing.add(task)
            task.add_done_callback(self._clearing.discard)

    async def _clear(self, known: Sequence[tuple[BookingIntent, bool]]) -> None:
        try:
            await self._store.clear_intents(known)
        except HoldsUnreachable:
            log.warning("intents_not_cleared", effect="they expire by themselves", bookings=len(known))

    async def drain(self) -> None:
        """Wait for what is left to do for commands that were answered."""
        if self._sweep is not None:
            await self._sweep
        while self._clearing:
            await asyncio.wait(self._clearing)
