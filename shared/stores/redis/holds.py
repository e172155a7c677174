"""Holds in Redis: one key a claim, set where there is none, with a TTL, compared and removed by Lua.

A hold keeps others from booking a slot while its patient checks out. It never decides who gets the
slot, so losing Redis loses holds and nothing else.

A hold is placed first, for hardly longer than its command may take; only then MongoDB is read. A booking that
comes later finds the hold. A booking that is being made has an intent (`intents.py`), with which the hold is
refused. If nothing is booked the hold is granted, which gives it its full time, and its caller is answered.
An extension places what is new and leaves what was granted before as it is until it is granted itself. What
is not granted was promised to nobody: it is withdrawn, or ends by itself soon after its command's deadline.
All that a token holds is released together, and used up together by its patient's booking. A release is known
for as long as an attempt of an earlier hold can come: that hold is refused.

What this cannot promise: a hold that Redis has lost (a failover, a flush, an eviction, a clock that
jumps) is not honoured, nor one that a booking worker cannot reach.
"""

from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from redis.exceptions import ResponseError

from shared.contract.asked_at import LATEST_ATTEMPT_SECONDS
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    AskedEarlier,
    Changing,
    HoldsUnreachable,
    InvalidRequest,
    OutcomeUnknown,
    Refused,
)
from shared.domain.claim import Claims
from shared.stores.redis.calls import MOST_FREED, Call
from shared.stores.redis.keys import Holder, keys_of, token_key
from shared.stores.redis.scripts import NoTimeToAsk, Scripts
from shared.stores.redis.servers import Servers

# How long a hold that is yet to be granted stands beyond its command's deadline.
PLACED_MARGIN_MS = 1000
MOST_HELD = 600
"""How many claims a token may hold in a site: as many as one command may claim."""
# How long a release is known: until no attempt of a hold that was asked for before it can come any more.
RELEASE_KNOWN_MS = int(LATEST_ATTEMPT_SECONDS * 1000)

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True)
class Wanted:
    """What a caller wants to hold, and when the caller asked (Unix ms)."""

    claims: Claims
    holder: Holder
    asked_at: int


@dataclass(frozen=True)
class Placed:
    """A hold that is yet to be granted: when each claim was placed (Unix ms).

    `being_booked`: an intent of a booking is on one of the claims.
    """

    at: Sequence[int]
    being_booked: bool


@dataclass(frozen=True)
class Granted:
    """A hold that stands until `expires_at`, which is in so many `milliseconds`."""

    expires_at: datetime
    milliseconds: int


@dataclass(frozen=True)
class Release:
    """All that a token holds in a site is to end; when its caller asked (Unix ms).

    `cell`: the first instant (Unix ms) of a cell that the token must hold at some resource; None: whatever it
    holds.
    """

    site: str
    token: str
    asked_at: int
    cell: str | None = None


class HoldStore:
    """Holds of `hold_ms`, extended by their token to at most `max_ms` from when they were first granted.

    Where a cluster has them, one of its masters that is lost concerns the holds of its own sites alone: each
    of these has what a method `Raises` in the place of its result.
    """

    def __init__(self, redis: Servers, *, hold_ms: int, max_ms: int) -> None:
        self._redis = redis
        self._hold_ms = hold_ms
        self._max_ms = max_ms

    async def place_many(self, wanted: Sequence[Wanted], deadline: Deadline) -> list[Placed | Refused | None]:
        """Place holds, or extensions of those with the same tokens, to be granted by a deadline.

        Returns:
            What was placed; None where another token holds one of the claims; else why it is refused:
            AskedEarlier, or InvalidRequest where the token would hold more than `MOST_HELD`.

        Raises:
            HoldsUnreachable, NotExecuted, OutcomeUnknown
        """
        place = partial(self._place, deadline=deadline)
        placed = await self._redis.apart(wanted, lambda each: each.claims.site, place)
        return list(placed)

    async def _place(
        self, scripts: Scripts, wanted: Sequence[Wanted], *, deadline: Deadline
    ) -> list[Placed | Refused | None]:
        await _find_redis(scripts, deadline)
        milliseconds = int(deadline.remaining * 1000) + PLACED_MARGIN_MS
        calls = [_call(w, (w.holder.token, w.holder.digest, w.asked_at, milliseconds)) for w in wanted]
        answers = await _known(scripts.run_all("place_holds", calls, (MOST_HELD,)))
        if any(isinstance(answer, ResponseError) for answer in answers):
            raise HoldsUnreachable  # refused by Redis itself: it is full, read-only, or loading its data
        return [_placed(answer) for answer in answers]

    async def grant_many(self, placed: Sequence[tuple[Wanted, Placed]]) -> list[Granted | Refused]:
        """Promise holds to their patients.

        Returns:
            What was granted; else why nothing of it was: AskedEarlier, or Changing where not all of one still
            stands as it was placed.

        Raises:
            OutcomeUnknown
        """
        return await self._redis.apart(placed, lambda each: each[0].claims.site, self._grant)

    async def _grant(
        self, scripts: Scripts, placed: Sequence[tuple[Wanted, Placed]]
    ) -> list[Granted | Refused]:
        calls = [
            _call(w, (w.holder.token, w.holder.digest, w.asked_at, *as_placed.at)) for w, as_placed in placed
        ]
        answers = await _known(scripts.run_all("grant_holds", calls, (self._hold_ms, self._max_ms)))
        if any(isinstance(answer, ResponseError) for answer in answers):
            raise OutcomeUnknown  # they are placed, though not granted
        return [_granted(answer) for answer in answers]

    async def withdraw_many(self, placed: Sequence[tuple[Wanted, Placed]]) -> None:
        """Withdraw what was placed of each and is not granted; what Redis cannot be asked for ends by itself.

        What the same token has placed since is another's affair.
        """
        await self._redis.apart(placed, lambda each: each[0].claims.site, self._withdraw)

    async def _withdraw(self, scripts: Scripts, placed: Sequence[tuple[Wanted, Placed]]) -> Sequence[None]:
        calls = [_call(wanted, (wanted.holder.token, *as_placed.at)) for wanted, as_placed in placed]
        with suppress(HoldsUnreachable):
            await scripts.run_all("withdraw_holds", calls)
        return [None] * len(placed)

    async def release_many(self, releases: Sequence[Release], deadline: Deadline) -> list[bool | Refused]:
        """End all that some tokens hold, by a deadline.

        A hold of the token that was asked for no later is neither placed nor granted any more, be it that the
        token holds nothing yet. A release that is refused changes nothing.

        Returns:
            Whether the token held anything, and the cell if one is named; a refusal where Redis has refused,
            or AskedEarlier where the token holds what was asked for later.

        Raises:
            HoldsUnreachable, NotExecuted, OutcomeUnknown
        """
        release = partial(self._release, deadline=deadline)
        released = await self._redis.apart(releases, lambda each: each.site, release)
        return list(released)

    async def _release(
        self, scripts: Scripts, releases: Sequence[Release], *, deadline: Deadline
    ) -> list[bool | Refused]:
        await _find_redis(scripts, deadline)
        calls = [Call(r.site, [token_key(r.site, r.token)], (r.asked_at, r.cell or "")) for r in releases]
        answers = await _known(scripts.run_all("release_holds", calls, (MOST_FREED, RELEASE_KNOWN_MS)))
        return [_released(answer) for answer in answers]

    async def ping(self) -> None:
        """Ask Redis whether it is there.

        Raises:
            HoldsUnreachable
        """
        await self._redis.ping()

    async def problem(self) -> str | None:
        """What is wrong with a Redis that answers; None if nothing is known to be.

        Raises:
            HoldsUnreachable
        """
        return await self._redis.problem()


async def _find_redis(scripts: Scripts, deadline: Deadline) -> None:
    """Make sure that a Redis is there: what fails after this may have been executed.

    Raises:
        HoldsUnreachable, NotExecuted
    """
    try:
        await scripts.ask(scripts.ping, seconds=deadline.remaining)
    except NoTimeToAsk:
        raise HoldsUnreachable from None
    deadline.check()


async def _known(answer: Awaitable[AnswerT]) -> AnswerT:
    """The answer of a script that may have run although its answer was lost.

    Raises:
        OutcomeUnknown: it was.
    """
    try:
        return await answer
    except HoldsUnreachable:
        raise OutcomeUnknown from None


def _call(wanted: Wanted, args: Sequence[str | int]) -> Call:
    return Call(wanted.claims.site, keys_of(wanted.claims), args)


def _placed(answer: Any) -> Placed | Refused | None:
    if isinstance(answer, list):
        at, being_booked = answer
        return Placed(at, bool(being_booked))
    match answer:
        case 1:
            return None
        case 2:
            return AskedEarlier()
        case _:
            return InvalidRequest(
                f"holdToken must not hold more than {MOST_HELD} cells of the grid in a site"
            )


def _granted(answer: Any) -> Granted | Refused:
    if isinstance(answer, list):
        ends, milliseconds = answer
        return Granted(datetime.fromtimestamp(ends / 1000, UTC), milliseconds)
    return AskedEarlier() if answer == 2 else Changing()


def _released(answer: Any) -> bool | Refused:
    if isinstance(answer, ResponseError):
        return HoldsUnreachable()
    return AskedEarlier() if answer == -2 else answer > 0
