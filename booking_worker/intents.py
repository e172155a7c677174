"""Intents of what is being decided: registered before the write, cleared after the callers are answered."""

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

# The intent of what is booked is cleared together with others, at a fraction of the price. It delays no hold
# but one on the slot of a booking that was cancelled a moment ago.
LATER_SECONDS = 0.05

log = structlog.get_logger()


class Intents:
    """Those of one worker, whatever it does with slots."""

    def __init__(self, store: IntentStore) -> None:
        self._store = store
        self._clearing: set[asyncio.Task[None]] = set()
        self._later: list[tuple[BookingIntent, bool]] = []
        self._timer: asyncio.TimerHandle | None = None

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

        One that stands uses up its patient's holds, which nobody may see then. One that was refused must not
        keep others from holding what it wanted. Both are cleared at once, the others a moment later. No
        answer waits for it, though Redis may hang. What is unknown may still be made: its intent has to stay.
        """
        at_once: list[tuple[BookingIntent, bool]] = []
        for intent, state, stands in decided:
            soon = state is HoldState.MINE or not stands
            (at_once if soon else self._later).append((intent, state is HoldState.MINE and stands))
        self._begin(at_once)
        if self._later and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LATER_SECONDS, self._clear_later)

    def _clear_later(self) -> None:
        self._timer = None
        left, self._later = self._later, []
        self._begin(left)

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
        """Do what is left for commands that were answered, and wait for it."""
        if self._timer is not None:
            self._timer.cancel()
            self._clear_later()
        while self._clearing:
            await asyncio.wait(self._clearing)
