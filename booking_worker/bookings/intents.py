"""Clear intents and use up holds after the callers are answered."""

import asyncio
from collections.abc import Iterable, Sequence
from contextvars import Context

import structlog

from shared.contract.errors import HoldsUnreachable
from shared.contract.hints import HoldHint
from shared.stores.redis.intents import BookingIntent, HoldState, IntentStore
from shared.worker.hints import HintPublisher

MAY_PASS = {HoldState.FREE, HoldState.MINE, HoldState.UNREACHABLE}
"""A booking with one of these states goes on. If Redis is lost, it goes on without holds."""
MAY_BE_REGISTERED = {HoldState.FREE, HoldState.MINE, HoldState.NOT_ASKED}
"""An intent with one of these states may exist in Redis: an unanswered call may have registered it."""

log = structlog.get_logger()


class IntentClearer:
    """Clears the intents of one worker, uses up holds, and publishes hints of them."""

    def __init__(self, store: IntentStore, hints: HintPublisher) -> None:
        self._store = store
        self._hints = hints
        self._using_up: set[asyncio.Task[None]] = set()
        self._decided: list[BookingIntent] = []
        self._sweep: asyncio.Task[None] | None = None

    def clear(self, decided: Iterable[tuple[BookingIntent, HoldState, bool]]) -> None:
        """Clear intents in the background, so that a slow Redis delays no answer.

        A stored booking uses up its patient's holds at once, so that no caller sees a hold on a booked slot.
        Intents are cleared one round at a time: a round takes all that were decided during the last one.
        Never pass a booking with an unknown outcome: MongoDB may still insert it, so its intent must stay.

        Args:
            decided: intent, hold state, and whether the booking is stored.
        """
        used_up: list[BookingIntent] = []
        for intent, state, is_stored in decided:
            if is_stored:
                intent.counted_at = None
            self._decided.append(intent)
            if state is HoldState.MINE and is_stored:
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
        """Wait until the intents and holds of all answered commands are cleared."""
        if self._sweep is not None:
            await self._sweep
        while self._using_up:
            await asyncio.wait(self._using_up)
