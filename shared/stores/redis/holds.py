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

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

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
from shared.stores.redis.scripts import Scripts

# How long a hold that is yet to be granted stands beyond its command's deadline.
PLACED_MARGIN_MS = 1000
MOST_HELD = 600
"""How many claims a token may hold in a site: as many as one command may claim."""
# How long a release is known: until no attempt of a hold that was asked for before it can come any more.
RELEASE_KNOWN_MS = int(LATEST_ATTEMPT_SECONDS * 1000)


@dataclass(frozen=True)
class HoldRequest:
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
    """A hold that stands until `expires_at`, which is in so many `milliseconds`.

    `extended`: some of it was granted before.
    """

    expires_at: datetime
    milliseconds: int
    extended: bool


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

    A server that is lost concerns the holds of its own sites alone.
    """

    def __init__(self, scripts: Scripts, *, hold_ms: int, max_ms: int) -> None:
        self._scripts = scripts
        self._hold_ms = hold_ms
        self._max_ms = max_ms

    async def place_many(
        self, wanted: Sequence[HoldRequest], deadline: Deadline
    ) -> list[Placed | Refused | None]:
        """Place holds, or extensions of those with the same tokens, to be granted by a deadline.

        To place twice is to place once, so Redis is asked again if it does not answer.

        Returns:
            What was placed; None where another token holds one of the claims; else why it is refused:
            AskedEarlier, InvalidRequest where the token would hold more than `MOST_HELD`, or
            HoldsUnreachable: what was placed all the same ends by itself.

        Raises:
            DeadlinePassed
        """
        deadline.check()
        seconds = deadline.remaining
        milliseconds = int(seconds * 1000) + PLACED_MARGIN_MS
        calls = [_call(w, (w.holder.token, w.holder.digest, w.asked_at, milliseconds)) for w in wanted]
        answers = await self._scripts.run("place_holds", calls, (MOST_HELD,), seconds=seconds)
        return [_placed(answer) for answer in answers]

    async def grant_many(self, placed: Sequence[tuple[HoldRequest, Placed]]) -> list[Granted | Refused]:
        """Promise holds to their patients.

        Returns:
            What was granted; else why nothing of it was: AskedEarlier, or Changing where not all of one still
            stands as it was placed, or OutcomeUnknown.
        """
        calls = [
            _call(w, (w.holder.token, w.holder.digest, w.asked_at, *as_placed.at)) for w, as_placed in placed
        ]
        answers = await self._scripts.run("grant_holds", calls, (self._hold_ms, self._max_ms))
        return [_granted(answer) for answer in answers]

    async def withdraw_many(self, placed: Sequence[tuple[HoldRequest, Placed]]) -> None:
        """Withdraw what was placed of each and is not granted; what Redis cannot be asked for ends by itself.

        What the same token has placed since is another's affair.
        """
        calls = [_call(wanted, (wanted.holder.token, *as_placed.at)) for wanted, as_placed in placed]
        await self._scripts.run("withdraw_holds", calls)

    async def release_many(self, releases: Sequence[Release], deadline: Deadline) -> list[bool | Refused]:
        """End all that some tokens hold, by a deadline.

        A hold of the token that was asked for no later is neither placed nor granted any more, be it that the
        token holds nothing yet. A release that is refused changes nothing.

        Returns:
            Whether the token held anything, and the cell if one is named; else HoldsUnreachable,
            OutcomeUnknown, or AskedEarlier where the token holds what was asked for later.

        Raises:
            DeadlinePassed
        """
        deadline.check()
        calls = [Call(r.site, [token_key(r.site, r.token)], (r.asked_at, r.cell or "")) for r in releases]
        common = (MOST_FREED, RELEASE_KNOWN_MS)
        answers = await self._scripts.run(
            "release_holds", calls, common, seconds=deadline.remaining, once=True
        )
        return [_released(answer) for answer in answers]


def _call(wanted: HoldRequest, args: Sequence[str | int]) -> Call:
    return Call(wanted.claims.site, keys_of(wanted.claims), args)


def _placed(answer: Any) -> Placed | Refused | None:
    if isinstance(answer, list):
        at, being_booked = answer
        return Placed(at, bool(being_booked))
    match answer:
        case HoldsUnreachable() | ResponseError():  # refused by Redis itself: it is full, or takes no writes
            return HoldsUnreachable()
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
        ends, milliseconds, extended = answer
        return Granted(datetime.fromtimestamp(ends / 1000, UTC), milliseconds, bool(extended))
    if isinstance(answer, HoldsUnreachable | ResponseError):
        return OutcomeUnknown()  # it is placed, though perhaps not granted
    return AskedEarlier() if answer == 2 else Changing()


def _released(answer: Any) -> bool | Refused:
    if isinstance(answer, HoldsUnreachable | ResponseError):
        return HoldsUnreachable()
    if isinstance(answer, OutcomeUnknown):
        return answer
    return AskedEarlier() if answer == -2 else answer > 0
