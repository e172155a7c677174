"""Intents of what is being decided: registered before the write, cleared after the callers are answered."""

import asyncio
from collections.abc import Iterable, Sequence
from contextvars import Context

import structlog

from shared.contract.deadline import Deadline
from shared.contract.errors import HoldsUnreachable
from shared.contract.hints import HoldHint
from shared.stores.redis.intents import BookingIntent, HoldState, IntentStore
from shared.worker.hints import HintPublisher

PASSING = {HoldState.FREE, HoldState.MINE, HoldState.UNREACHABLE}
"""What may go on: where Redis cannot say what is held, it goes on without."""
REGISTERED = {HoldState.FREE, HoldState.MINE, HoldState.NOT_ASKED}
"""Where an intent may stand: one that could not be asked for may have been registered all the same."""

log = structlog.get_logger()


class Intents:
    """Those of one worker, whatever it does with slots. Holds that are used up are published as hints."""

    def __init__(self, store: IntentStore, hints: HintPublisher) -> None:
        self._store = store
        self._hints = hints
        self._using_up: set[asyncio.Task[None]] = set()
        self._decided: list[BookingIntent] = []
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

        A booking that stands uses up its patient's holds, which nobody may see then: at once. Intents are
        cleared as soon as Redis has cleared those before them, together with what is decided meanwhile. No
        answer waits for it, though Redis may hang. A booking that is unknown may still be made: its intent
        has to stay.
        """
        used_up: list[BookingIntent] = []
        for intent, state, stands in decided:
            self._decided.append(intent)
            if state is HoldState.MINE and stands:
                used_up.append(intent)
        if used_up:
            task = asyncio.create_task(self._use_up(used_up))
            self._using_up.add(task)
            task.add_done_callback(self._using_up.discard)
        if self._decided and (self._sweep is None or self._sweep.done()):
            self._sweep = asyncio.create_task(self._clear_decided(), context=Context())

    async def _use_up(self, booked: Sequence[BookingIntent]) -> None:
        try:
            used = await self._store.use_up_holds(booked)
        except HoldsUnreachable:
            log.warning("holds_not_used_up", effect="they expire by themselves", bookings=len(booked))
        else:
            claims = (each.claims for each, count in zip(booked, used, strict=True) if count)
            await self._hints.publish(
                HoldHint(type="used", site=each.site, resources=each.resources) for each in claims
            )

    async def _clear_decided(self) -> None:
        while self._decided:
            decided, self._decided = self._decided, []
            try:
                await self._store.clear_intents(decided)
            except HoldsUnreachable:
                log.warning("intents_not_cleared", effect="they expire by themselves", bookings=len(decided))

    async def drain(self) -> None:
        """Wait for what is left to do for commands that were answered."""
        if self._sweep is not None:
            await self._sweep
        while self._using_up:
            await asyncio.wait(self._using_up)
