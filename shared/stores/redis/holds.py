"""Place, grant, withdraw and release holds in Redis: one key per claim, compared by Lua.

A hold keeps other patients from booking a slot while its patient checks out. It never decides who gets the
slot, so losing Redis loses holds and nothing else.

A hold is first placed with NX and a TTL just above its command's deadline; only then MongoDB is read. A later
booking finds the hold. A booking in progress has an intent (`intents.py`), and with an intent the hold is
refused. If nothing is booked, the hold is granted: it gets its full time, and its caller is answered. An
extension places the new claims, and leaves the granted ones as they are until the extension is granted. A
hold that was not granted was promised to no caller: it is withdrawn, or expires soon after its command's
deadline. All claims of a token are released together, and used up together by its patient's booking. A
release is remembered for as long as an attempt of an earlier hold can arrive; that hold is refused.

Not promised: a hold that Redis has lost (by a failover, a flush, an eviction, a jump of its clock) is not
honoured, nor a hold that a booking worker cannot reach.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import ResponseError

from shared.contract.asked_at import LATEST_ATTEMPT_SECONDS
from shared.contract.caller import Share
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    AskedEarlier,
    Changing,
    HoldsUnreachable,
    InvalidRequest,
    OutcomeUnknown,
    Refused,
    TooManyHolds,
)
from shared.domain.claim import Claims
from shared.stores.redis.calls import MOST_FREED, Call
from shared.stores.redis.intents import BookingIntent, IntentStore
from shared.stores.redis.keys import Holder, keys_of, token_key
from shared.stores.redis.quotas import quota_of_holds
from shared.stores.redis.scripts import Scripts

# How long a placed hold stands after its command's deadline.
PLACED_MARGIN_MS = 1000
MOST_HELD = 600
"""How many claims a token may hold in a site: as many as one command may claim."""
# How long a release is remembered: until no attempt of a hold that was asked for earlier can arrive.
RELEASE_KNOWN_MS = int(LATEST_ATTEMPT_SECONDS * 1000)


@dataclass(frozen=True)
class HoldRequest:
    """The claims that a caller asks to hold, and when the caller asked (Unix ms).

    `shares`: the shares that the hold counts in.
    """

    claims: Claims
    holder: Holder
    asked_at: int
    shares: Sequence[Share] = ()


@dataclass(frozen=True)
class Placed:
    """A placed hold that is not granted yet: when each claim was placed (Unix ms).

    `being_booked`: a booking's intent has one of the claims.
    """

    at: Sequence[int]
    being_booked: bool


@dataclass(frozen=True)
class Granted:
    """A hold that stands until `expires_at`, which is `milliseconds` from now.

    `extended`: some of its claims were granted before.
    """

    expires_at: datetime
    milliseconds: int
    extended: bool


@dataclass(frozen=True)
class Release:
    """A request to release all holds of a token in a site. `asked_at`: when its caller asked (Unix ms).

    `cell`: the first instant (Unix ms) of a cell that the token must hold at some resource; None: no
    condition.
    """

    site: str
    token: str
    asked_at: int
    cell: str | None = None


class HoldStore:
    """Holds of `hold_ms`, extended by their token to at most `max_ms` after they were first granted.

    A lost server concerns only the holds of its own sites.
    """

    def __init__(self, scripts: Scripts, *, hold_ms: int, max_ms: int) -> None:
        self._scripts = scripts
        self._hold_ms = hold_ms
        self._max_ms = max_ms

    async def place_many(
        self, requests: Sequence[HoldRequest], deadline: Deadline
    ) -> list[Placed | Refused | None]:
        """Place holds, or extensions of holds with the same tokens, to be granted by a deadline.

        Placing is idempotent, so a script that Redis does not answer is run again.

        Returns:
            One result per request. None: another token holds one of the claims. AskedEarlier: the token was
            released later. InvalidRequest: the token would hold more than `MOST_HELD` claims. TooManyHolds: a
            share would hold more than its cap. HoldsUnreachable: claims that were placed nevertheless expire
            by themselves.

        Raises:
            DeadlinePassed: the deadline has passed.
        """
        deadline.check()
        seconds = deadline.remaining
        milliseconds = int(seconds * 1000) + PLACED_MARGIN_MS
        calls = [
            _call(r, (r.holder.token, r.holder.digest, r.asked_at, milliseconds, quota_of_holds(r.shares)))
            for r in requests
        ]
        answers = await self._scripts.run("place_holds", calls, (MOST_HELD,), seconds=seconds)
        return [_placed(answer) for answer in answers]

    async def hold_all(self, requests: Sequence[HoldRequest], deadline: Deadline) -> list[bool]:
        """Read for each request whether its token holds all of its claims already. Nothing changes."""
        of_token = [BookingIntent(r.claims, Holder(r.holder.token, digest="")) for r in requests]
        return await IntentStore(self._scripts).hold_all(of_token, seconds=deadline.remaining)

    async def grant_many(self, placed: Sequence[tuple[HoldRequest, Placed]]) -> list[Granted | Refused]:
        """Grant placed holds: give each its full time.

        Returns:
            One result per hold. AskedEarlier: the token was released later. Changing: some claim no longer
            stands as placed. OutcomeUnknown: Redis did not answer.
        """
        calls = [
            _call(r, (r.holder.token, r.holder.digest, r.asked_at, *as_placed.at)) for r, as_placed in placed
        ]
        answers = await self._scripts.run("grant_holds", calls, (self._hold_ms, self._max_ms))
        return [_granted(answer) for answer in answers]

    async def withdraw_many(self, placed: Sequence[tuple[HoldRequest, Placed]]) -> None:
        """Withdraw placed claims that are not granted. If Redis does not answer, they expire by themselves.

        Claims that the same token has placed since stay.
        """
        calls = [_call(request, (request.holder.token, *as_placed.at)) for request, as_placed in placed]
        await self._scripts.run("withdraw_holds", calls)

    async def release_many(self, releases: Sequence[Release], deadline: Deadline) -> list[bool | Refused]:
        """Release all claims of some tokens, by a deadline.

        A hold of the token that was asked for no later is then neither placed nor granted, even if the token
        holds nothing yet. A refused release changes nothing.

        Returns:
            One result per release: whether the token held anything, and the cell if one is named.
            HoldsUnreachable, OutcomeUnknown: Redis did not answer. AskedEarlier: the token's hold was asked
            for later.

        Raises:
            DeadlinePassed: the deadline has passed.
        """
        deadline.check()
        calls = [Call(r.site, [token_key(r.site, r.token)], (r.asked_at, r.cell or "")) for r in releases]
        common = (MOST_FREED, RELEASE_KNOWN_MS)
        answers = await self._scripts.run(
            "release_holds", calls, common, seconds=deadline.remaining, once=True
        )
        return [_released(answer) for answer in answers]


def _call(request: HoldRequest, args: Sequence[str | int]) -> Call:
    return Call(request.claims.site, keys_of(request.claims), args)


def _placed(answer: Any) -> Placed | Refused | None:
    if isinstance(answer, list):
        at, being_booked = answer
        return Placed(at, bool(being_booked))
    match answer:
        case HoldsUnreachable() | ResponseError():  # Redis itself refuses: it is full or read-only
            return HoldsUnreachable()
        case 1:
            return None
        case 2:
            return AskedEarlier()
        case 4:
            return TooManyHolds()
        case _:
            return InvalidRequest(
                f"holdToken must not hold more than {MOST_HELD} cells of the grid in a site"
            )


def _granted(answer: Any) -> Granted | Refused:
    if isinstance(answer, list):
        ends, milliseconds, extended = answer
        return Granted(datetime.fromtimestamp(ends / 1000, UTC), milliseconds, bool(extended))
    if isinstance(answer, HoldsUnreachable | ResponseError):
        return OutcomeUnknown()  # it is placed, and may be granted
    return AskedEarlier() if answer == 2 else Changing()


def _released(answer: Any) -> bool | Refused:
    if isinstance(answer, HoldsUnreachable | ResponseError):
        return HoldsUnreachable()
    if isinstance(answer, OutcomeUnknown):
        return answer
    return AskedEarlier() if answer == -2 else answer > 0
