"""Intents in Redis: a booking that is being made says so, that no hold is granted meanwhile.

A hold and a booking that are made together would miss each other: the booking finds no hold, the hold is
set, MongoDB shows no booking yet, the hold is granted, the booking is inserted. So one script reads the holds
and, if the booking may pass, registers its intent, which is cleared once the booking is decided. Intents
never keep bookings from each other: between bookings the index alone decides. A booking that is refused as
held has none, not for a moment.

An insert that MongoDB carries out later than `INTENT_MARGIN_MS` after its deadline is waited for no more.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, auto
from functools import partial
from typing import Any

import structlog
from redis.exceptions import ClusterDownError, ResponseError

from shared.contract.errors import HoldsUnreachable, Refused
from shared.domain.claim import Claims
from shared.stores.redis.calls import MOST_FREED, Call, in_parts
from shared.stores.redis.keys import Holder, keys_of
from shared.stores.redis.scripts import NoTimeToAsk, Scripts
from shared.stores.redis.servers import Servers

# How long an intent stands beyond its booking's deadline, if nobody says that the booking is decided.
INTENT_MARGIN_MS = 5000

log = structlog.get_logger()


class HoldState(IntEnum):
    """What a booking finds held of its claims; the first numbers are those of `register_intents.lua`."""

    FREE = 0
    MINE = 1
    OTHERS = 2
    UNREACHABLE = auto()
    """Redis is lost: a booking goes on without it."""
    NOT_ASKED = auto()
    """What is held is not known, and nothing is booked: this process stood still until no time was left, or a
    Redis that is there will not say."""


@dataclass(frozen=True)
class BookingIntent:
    """The booking with this `id` is to be made."""

    id: str
    claims: Claims
    holder: Holder


class IntentStore:
    """The intents of a booking worker."""

    def __init__(self, redis: Servers) -> None:
        self._redis = redis

    async def register_intents(self, intents: Sequence[BookingIntent], *, seconds: float) -> list[HoldState]:
        """Register what may pass the holds, for `seconds` (till the deadline) and a margin.

        Returns:
            What each finds, in their order.
        """
        register = partial(self._register, ends=time.monotonic() + seconds)
        try:
            states = await self._redis.apart(intents, lambda intent: intent.claims.site, register)
        except HoldsUnreachable:
            states = [HoldState.UNREACHABLE] * len(intents)
        return [HoldState.UNREACHABLE if isinstance(state, Refused) else state for state in states]

    async def _register(
        self, scripts: Scripts, intents: Sequence[BookingIntent], *, ends: float
    ) -> list[HoldState]:
        # From a worker that was paused, seconds may be negative: a key without an end would be left.
        milliseconds = int(max(ends - time.monotonic(), 0) * 1000) + INTENT_MARGIN_MS
        calls = [_call(intent, milliseconds) for intent in intents]
        found: list[HoldState] = []
        try:
            for part in in_parts(calls):  # to register twice is once
                run = partial(scripts.run, "register_intents", part)
                answers = await scripts.ask(run, seconds=ends - time.monotonic())
                if any(isinstance(answer, ResponseError) for answer in answers):
                    answers = await _look(scripts, part, answers)
                found += map(_state, answers)
        except NoTimeToAsk:
            found += [HoldState.NOT_ASKED] * (len(calls) - len(found))
        except HoldsUnreachable:
            found += [HoldState.UNREACHABLE] * (len(calls) - len(found))
        return found

    async def clear_intents(self, decided: Sequence[tuple[BookingIntent, bool]]) -> None:
        """Clear the intents of what is decided; with True, the booking has used up its patient's holds.

        Raises:
            HoldsUnreachable: what was not cleared expires by itself.
        """
        cleared = await self._redis.apart(decided, lambda each: each[0].claims.site, self._clear)
        for refused in cleared:
            if refused is not None:
                raise refused

    async def _clear(self, scripts: Scripts, decided: Sequence[tuple[BookingIntent, bool]]) -> Sequence[None]:
        calls = [_call(intent, int(booked)) for intent, booked in decided]
        await scripts.run_all("clear_intents", calls, (MOST_FREED,))
        return [None] * len(decided)


async def _look(scripts: Scripts, calls: Sequence[Call], answers: Sequence[Any]) -> list[Any]:
    """Read what is held, for those that Redis has refused to register.

    A Redis that takes no writes (a replica, a full disk) grants no hold either: none can miss an intent.
    """
    looked = await scripts.run("look_at_holds", calls)
    return [
        held if isinstance(answer, ResponseError) and not isinstance(answer, ClusterDownError) else answer
        for answer, held in zip(answers, looked, strict=True)
    ]


def _state(answer: Any) -> HoldState:
    if not isinstance(answer, ResponseError):
        return HoldState(answer)
    if isinstance(answer, ClusterDownError):  # it has nobody to ask
        return HoldState.UNREACHABLE
    log.warning("redis_refuses", error=str(answer).partition(" ")[0], effect="nothing is booked")
    return HoldState.NOT_ASKED


def _call(intent: BookingIntent, last: int) -> Call:
    """A call of either script, which differ in their last argument."""
    holder = intent.holder
    return Call(intent.claims.site, keys_of(intent.claims), (holder.token, holder.digest, intent.id, last))
