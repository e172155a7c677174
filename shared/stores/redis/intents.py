"""Register intents in Redis: the claims of a booking in progress, so that no hold on them is granted.

Without intents, a hold and a booking in progress would miss each other: the booking finds no hold, the hold
is placed, MongoDB shows no booking yet, the hold is granted, the booking is inserted. So one script reads the
holds and registers one intent for those bookings of a batch that may pass. The intent is cleared once the
bookings are decided, except for the claims of bookings that may still be inserted. Intents never keep
bookings from each other: between bookings only the index decides. A booking that is refused as held never has
an intent, not even for a moment.

An insert that MongoDB carries out later than `INTENT_MARGIN_MS` after its deadline is not covered.
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

# How long an intent that is not cleared stands after its booking's deadline.
INTENT_MARGIN_MS = 5000
# How many claims one intent has; a single booking may have more. Registering them takes Redis 1 ms.
MOST_IN_BATCH = 600

# What the script adds to the state of a booking that it has counted.
COUNTED = 10

log = structlog.get_logger()


class HoldState(IntEnum):
    """The holds on a booking's claims; the first four numbers are those of `register_intents.lua`."""

    FREE = 0
    MINE = 1
    OTHERS = 2
    USED_UP = 3
    """A share of the caller has booked as much as it may in a day."""
    UNREACHABLE = auto()
    """Redis is lost; the booking proceeds without it."""
    NOT_ASKED = auto()
    """The holds are not known, and nothing is booked.

    This process stood still until no time was left, or a reachable Redis refuses to answer.
    """


BLOCKED = frozenset({HoldState.OTHERS, HoldState.USED_UP})
"""A booking with one of these states is refused, and has no intent."""


@dataclass(eq=False)
class BookingIntent:
    """The claims of a booking that is to be inserted.

    `quota`: the shares that it counts in (`quotas.py`). `batch` is set at registration; `counted_at` (Unix
    ms) too, if this attempt counted the booking.
    """

    claims: Claims
    holder: Holder
    quota: str = ""
    batch: "Batch | None" = None
    counted_at: int | None = None


@dataclass(eq=False)
class Batch:
    """Bookings of one site that share one intent in Redis.

    `standing` are those whose claims it may have.
    """

    site: str
    standing: list[BookingIntent]
    id: str = field(default_factory=lambda: uuid4().hex)

    def to_call(self, milliseconds: int) -> Call:
        """Return the call that registers the batch for some milliseconds."""
        keys: list[str] = []
        args: list[str | int] = [self.id, milliseconds, len(self.standing)]
        for intent in self.standing:
            keys += keys_of(intent.claims)
            args += (len(intent.claims.keys), intent.holder.token, intent.holder.digest, intent.quota)
        return Call(self.site, keys, args)

    def to_text(self) -> str:
        """Return its claims, one per line."""
        return "\n".join(claim for intent in self.standing for claim in intent.claims.keys)


class IntentStore:
    """The intents of a booking worker."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def register_intents(self, intents: Sequence[BookingIntent], *, seconds: float) -> list[HoldState]:
        """Register the bookings that may pass the holds, for `seconds` (until the deadline) and a margin.

        Returns:
            The holds on the claims of each booking, in the same order.
        """
        if not intents:
            return []
        # In a worker that was paused, seconds may be negative; the key must still get a TTL.
        milliseconds = int(max(seconds, 0) * 1000) + INTENT_MARGIN_MS
        batches = list(_batches(intents))
        calls = [batch.to_call(milliseconds) for batch in batches]
        answers = await self._scripts.run("register_intents", calls, seconds=seconds)  # idempotent
        refused = [index for index, answer in enumerate(answers) if isinstance(answer, ResponseError)]
        for index, held in zip(refused, await self._look([calls[index] for index in refused]), strict=True):
            if not isinstance(answers[index], ClusterDownError):
                answers[index] = held
        states: dict[BookingIntent, HoldState] = {}
        for batch, answer in zip(batches, answers, strict=True):
            states |= zip(batch.standing, _states(batch, answer), strict=True)
            batch.standing = [i for i in batch.standing if states[i] not in BLOCKED]
        found = [states[intent] for intent in intents]
        if unread := found.count(HoldState.UNREACHABLE):
            log.warning("holds_unreachable", effect="booking goes on without them", bookings=unread)
        return found

    async def hold_all(self, intents: Sequence[BookingIntent], *, seconds: float) -> list[bool]:
        """Read for each booking whether its patient holds all of its claims. Nothing is registered."""
        if not intents:
            return []
        batches = [Batch(intent.claims.site, _claim_by_claim(intent)) for intent in intents]
        calls = [batch.to_call(0) for batch in batches]
        answers = await self._scripts.run("look_at_holds", calls, seconds=seconds)
        return [
            set(_states(batch, answer)) == {HoldState.MINE}
            for batch, answer in zip(batches, answers, strict=True)
        ]

    async def _look(self, calls: Sequence[Call]) -> list[Any]:
        """Read the holds for bookings that Redis refuses to register.

        A Redis that takes no writes (a replica, a full disk) grants no hold either, so no hold misses an
        intent.
        """
        return await self._scripts.run("look_at_holds", calls) if calls else []

    async def use_up_holds(self, booked: Sequence[BookingIntent]) -> list[int]:
        """Use up the holds of confirmed bookings' patients, with all claims of their tokens.

        Returns:
            How many holds each has used up, in their order.

        Raises:
            HoldsUnreachable: Redis did not answer; a hold that was not used up expires by itself.
        """
        calls = [
            Call(intent.claims.site, keys_of(intent.claims), (intent.holder.token, intent.holder.digest))
            for intent in booked
        ]
        answers = await self._scripts.run("use_up_holds", calls, (MOST_FREED,))
        _raise_lost(answers)
        return [answer if isinstance(answer, int) else 0 for answer in answers]

    async def clear_intents(self, decided: Sequence[BookingIntent]) -> None:
        """Clear the intents of decided bookings. Pass all bookings of a batch that are decided in one call.

        Those that have `counted_at` are no longer counted: set it to None for a booking that is stored.

        Raises:
            HoldsUnreachable: Redis did not answer; an intent that was not cleared expires by itself.
        """
        batches = list(dict.fromkeys(intent.batch for intent in decided if intent.batch))
        gone = set(decided)
        for batch in batches:
            batch.standing = [intent for intent in batch.standing if intent not in gone]
        refused: dict[Batch | None, list[BookingIntent]] = {}
        for intent in decided:
            if intent.counted_at is not None:
                refused.setdefault(intent.batch, []).append(intent)
        calls = [_to_clear(batch, refused.get(batch, ())) for batch in batches]
        _raise_lost(await self._scripts.run("clear_intents", calls))


def _claim_by_claim(intent: BookingIntent) -> list[BookingIntent]:
    site, holder = intent.claims.site, intent.holder
    return [BookingIntent(Claims(site, (key,)), holder) for key in intent.claims.keys]


def _batches(intents: Sequence[BookingIntent]) -> Iterator[Batch]:
    """Split bookings into batches of one site with at most `MOST_IN_BATCH` claims; a larger one is alone."""
    sites: dict[str, list[BookingIntent]] = {}
    for intent in intents:
        sites.setdefault(intent.claims.site, []).append(intent)
    for site, standing in sites.items():
        for part in in_parts(standing, lambda intent: len(intent.claims.keys), MOST_IN_BATCH):
            batch = Batch(site, list(part))
            for intent in part:
                intent.batch = batch
            yield batch


def _to_clear(batch: Batch, refused: Sequence[BookingIntent]) -> Call:
    counts = "\n".join(f"{intent.counted_at} {intent.quota}" for intent in refused)
    key = intent_key(batch.site, batch.id)
    return Call(batch.site, [key], (batch.to_text(), counts), work=sum(len(i.claims.keys) for i in refused))


def _states(batch: Batch, answer: Any) -> Sequence[HoldState]:
    if isinstance(answer, list):
        if len(answer) > len(batch.standing):  # some bookings were counted
            *answer, counted_at = answer
            for number, state in enumerate(answer):
                if state >= COUNTED:
                    answer[number], batch.standing[number].counted_at = state - COUNTED, counted_at
        return [HoldState(state) for state in answer]
    if isinstance(answer, NoTimeToAsk):
        state = HoldState.NOT_ASKED
    elif isinstance(answer, HoldsUnreachable | ClusterDownError):  # Redis is lost, or its cluster is down
        state = HoldState.UNREACHABLE
    else:
        state = HoldState.NOT_ASKED
        log.warning("redis_refuses", error=str(answer).partition(" ")[0], effect="nothing is booked")
    return [state] * len(batch.standing)


def _raise_lost(answers: Sequence[Any]) -> None:
    for answer in answers:
        if isinstance(answer, HoldsUnreachable):
            raise answer
