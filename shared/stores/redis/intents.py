"""Intents in Redis: a booking that is being made says so, that no hold is granted meanwhile.

A hold and a booking that are made together would miss each other: the booking finds no hold, the hold is
set, MongoDB shows no booking yet, the hold is granted, the booking is inserted. So one script reads the holds
and registers one intent for the bookings of a batch that may pass. It is cleared once they are decided, but
for the claims of bookings that may still be made. Intents never keep bookings from each other: between
bookings the index alone decides. A booking that is refused as held has none, not for a moment.

An insert that MongoDB carries out later than `INTENT_MARGIN_MS` after its deadline is waited for no more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, auto
from typing import Any
from uuid import uuid4

import structlog
from redis.exceptions import ClusterDownError, ResponseError

from shared.contract.errors import HoldsUnreachable
from shared.domain.claim import Claims
from shared.stores.redis.calls import MOST_FREED, Call, in_parts
from shared.stores.redis.keys import Holder, intent_key, keys_of
from shared.stores.redis.scripts import Scripts
from shared.stores.redis.server import NoTimeToAsk

# How long an intent stands beyond its booking's deadline, if nobody says that the booking is decided.
INTENT_MARGIN_MS = 5000
# How many claims one intent has, but for a single booking that has more. To register them takes Redis 1 ms.
MOST_IN_BATCH = 600

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


@dataclass(eq=False)
class BookingIntent:
    """A booking of some claims is to be made. `batch` is set once it is registered."""

    claims: Claims
    holder: Holder
    batch: "Batch | None" = None


@dataclass(eq=False)
class Batch:
    """Bookings of one site whose claims are one intent in Redis; `standing` are those that it may have."""

    site: str
    standing: list[BookingIntent]
    id: str = field(default_factory=lambda: uuid4().hex)

    def to_call(self, milliseconds: int) -> Call:
        """The call that registers all of it, for so many milliseconds."""
        keys: list[str] = []
        args: list[str | int] = [self.id, milliseconds, len(self.standing)]
        for intent in self.standing:
            keys += keys_of(intent.claims)
            args += (len(intent.claims.keys), intent.holder.token, intent.holder.digest)
        return Call(self.site, keys, args)

    def to_text(self) -> str:
        """Its claims, a line each."""
        return "\n".join(claim for intent in self.standing for claim in intent.claims.keys)


class IntentStore:
    """The intents of a booking worker."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def register_intents(self, intents: Sequence[BookingIntent], *, seconds: float) -> list[HoldState]:
        """Register what may pass the holds, for `seconds` (till the deadline) and a margin.

        Returns:
            What each finds, in their order.
        """
        # From a worker that was paused, seconds may be negative: a key without an end would be left.
        milliseconds = int(max(seconds, 0) * 1000) + INTENT_MARGIN_MS
        batches = list(_batches(intents))
        calls = [batch.to_call(milliseconds) for batch in batches]
        answers = await self._scripts.run("register_intents", calls, seconds=seconds)  # twice is once
        refused = [index for index, answer in enumerate(answers) if isinstance(answer, ResponseError)]
        for index, held in zip(refused, await self._look([calls[index] for index in refused]), strict=True):
            if not isinstance(answers[index], ClusterDownError):
                answers[index] = held
        states: dict[BookingIntent, HoldState] = {}
        for batch, answer in zip(batches, answers, strict=True):
            states |= zip(batch.standing, _states(batch, answer), strict=True)
            batch.standing = [each for each in batch.standing if states[each] is not HoldState.OTHERS]
        return [states[intent] for intent in intents]

    async def _look(self, calls: Sequence[Call]) -> list[Any]:
        """Read what is held, for those that Redis has refused to register.

        A Redis that takes no writes (a replica, a full disk) grants no hold either: none can miss an intent.
        """
        return await self._scripts.run("look_at_holds", calls) if calls else []

    async def use_up_holds(self, booked: Sequence[BookingIntent]) -> list[int]:
        """Use up the holds of the patients of confirmed bookings, each with all that its token holds.

        Returns:
            How many holds each has used up, in their order.

        Raises:
            HoldsUnreachable: a hold that was not used up expires by itself.
        """
        calls = [
            Call(each.claims.site, keys_of(each.claims), (each.holder.token, each.holder.digest))
            for each in booked
        ]
        answers = await self._scripts.run("use_up_holds", calls, (MOST_FREED,))
        _raise_lost(answers)
        return [answer if isinstance(answer, int) else 0 for answer in answers]

    async def clear_intents(self, decided: Sequence[BookingIntent]) -> None:
        """Clear the intents of what is decided. All of a batch that is ever decided is to be cleared at once.

        Raises:
            HoldsUnreachable: what was not cleared expires by itself.
        """
        batches = list(dict.fromkeys(intent.batch for intent in decided if intent.batch))
        gone = set(decided)
        for batch in batches:
            batch.standing = [intent for intent in batch.standing if intent not in gone]
        calls = [
            Call(batch.site, [intent_key(batch.site, batch.id)], (batch.to_text(),)) for batch in batches
        ]
        _raise_lost(await self._scripts.run("clear_intents", calls))


def _batches(intents: Sequence[BookingIntent]) -> Iterator[Batch]:
    """Bookings of one site each, whose claims one script is given; a larger one is a batch of its own."""
    sites: dict[str, list[BookingIntent]] = {}
    for intent in intents:
        sites.setdefault(intent.claims.site, []).append(intent)
    for site, standing in sites.items():
        for part in in_parts(standing, lambda intent: len(intent.claims.keys), MOST_IN_BATCH):
            batch = Batch(site, list(part))
            for intent in part:
                intent.batch = batch
            yield batch


def _states(batch: Batch, answer: Any) -> Sequence[HoldState]:
    if isinstance(answer, list):
        return [HoldState(state) for state in answer]
    if isinstance(answer, NoTimeToAsk):
        state = HoldState.NOT_ASKED
    elif isinstance(answer, HoldsUnreachable | ClusterDownError):  # it is lost, or has nobody to ask
        state = HoldState.UNREACHABLE
    else:
        state = HoldState.NOT_ASKED
        log.warning("redis_refuses", error=str(answer).partition(" ")[0], effect="nothing is booked")
    return [state] * len(batch.standing)


def _raise_lost(answers: Sequence[Any]) -> None:
    for answer in answers:
        if isinstance(answer, HoldsUnreachable):
            raise answer
