"""Intents of what is being decided: registered before the write, cleared while the callers are answered."""

import asyncio
from collections.abc import Iterable, Sequence

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

    async def register(self, intents: Sequence[BookingIntent], deadline: Deadline) -> list[HoldState]:
        """What each finds held, in their order; those that may pass are registered."""
        if not intents:
            return []
        states = await self._store.register_intents(intents, seconds=deadline.remaining)
        if unread := states.count(HoldState.UNREACHABLE):
            log.warning("holds_unreachable", effect="booking goes on without them", bookings=unread)
        return states

    def clear(self, decided: Iterable[tuple[BookingIntent, bool]]) -> None:
        """Begin to clear the intents of what is decided; with True, it has used up its patient's holds.

        Nobody waits for it: a Redis that hangs delays no answer. What is unknown may still be made, and its
        intent has to stay.
        """
        if known := list(decided):
            task = asyncio.create_task(self._clear(known))
            self._clearing.add(task)
            task.add_done_callback(self._clearing.discard)

    async def _clear(self, known: Sequence[tuple[BookingIntent, bool]]) -> None:
        try:
            await self._store.clear_intents(known)
        except HoldsUnreachable:
            log.warning("intents_not_cleared", effect="they expire by themselves", bookings=len(known))

    async def drain(self) -> None:
        """Wait until nothing is left to do for commands that were answered."""
        while self._clearing:
            await asyncio.wait(self._clearing)
