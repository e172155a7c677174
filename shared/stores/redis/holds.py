"""Holds in Redis: one key a claim, set where there is none, with a TTL, compared and removed by Lua.

A hold keeps others from booking a slot while its patient checks out. It never decides who gets the
slot, so losing Redis loses holds and nothing else.

A hold is placed first, for hardly longer than its command may take; then it waits for the intents that were
there (`intents.py`), and only then MongoDB is read. Whatever comes later finds the hold. If nothing is booked
it is granted, which gives it its full time, and its caller is answered. What is not granted was promised to
nobody: it is withdrawn, or ends by itself soon after its command's deadline. All that a token holds is
released together, and used up together by its patient's booking.

What this cannot promise: a hold that Redis has lost (a failover, a flush, an eviction, a clock that
jumps) is not honoured, nor one that a booking worker cannot reach.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from redis.exceptions import ResponseError

from shared.contract.deadline import Deadline
from shared.contract.errors import HoldsUnreachable, OutcomeUnknown, Refused
from shared.domain.claim import Claims
from shared.stores.redis.keys import Holder, keys_of, token_key
from shared.stores.redis.scripts import Call, NoTimeToAsk, Scripts, in_parts
from shared.stores.redis.servers import Servers

# How long a hold that is yet to be granted stands beyond its command's deadline.
PLACED_MARGIN_MS = 1000
# What one round trip releases: Redis answers in time, though each may have as many claims as there can be.
MOST_RELEASED = 16


@dataclass(frozen=True)
class Wanted:
    """What somebody wants to hold."""

    claims: Claims
    holder: Holder


@dataclass(frozen=True)
class Placed:
    """A hold that is yet to be granted: when each claim was placed (Unix ms), and what intents were there."""

    at: Sequence[int]
    intents: Sequence[str]


@dataclass(frozen=True)
class Granted:
    """A hold that stands until `expires_at`, which is in so many `milliseconds`."""

    expires_at: datetime
    milliseconds: int


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
            What was placed; None where another token holds one of the claims.

        Raises:
            HoldsUnreachable, NotExecuted, OutcomeUnknown
        """
        place = partial(self._place, deadline=deadline)
        return await self._redis.apart(wanted, lambda each: each.claims.site, place)

    async def _place(
        self, scripts: Scripts, wanted: Sequence[Wanted], *, deadline: Deadline
    ) -> list[Placed | None]:
        await _find_redis(scripts, deadline)
        milliseconds = int(deadline.remaining * 1000) + PLACED_MARGIN_MS
        calls = [_call(each, (each.holder.token, each.holder.digest, milliseconds)) for each in wanted]
        answers = await _run(scripts, "place_holds", calls, (self._hold_ms, self._max_ms))
        if any(isinstance(answer, ResponseError) for answer in answers):
            raise HoldsUnreachable  # refused by Redis itself: out of memory, read-only, loading
        return [Placed(*answer) if answer else None for answer in answers]

    async def grant_many(self, placed: Sequence[tuple[Wanted, Placed]]) -> list[Granted | Refused | None]:
        """Promise holds to their patients; None where not all of one still stands as it was placed.

        Raises:
            OutcomeUnknown
        """
        return await self._redis.apart(placed, lambda each: each[0].claims.site, self._grant)

    async def _grant(self, scripts: Scripts, placed: Sequence[tuple[Wanted, Placed]]) -> list[Granted | None]:
        calls = [
            _call(each, (each.holder.token, each.holder.digest, *as_placed.at)) for each, as_placed in placed
        ]
        answers = await _run(scripts, "grant_holds", calls, (self._hold_ms, self._max_ms))
        if any(isinstance(answer, ResponseError) for answer in answers):
            raise OutcomeUnknown  # they are placed, though not granted
        return [
            Granted(datetime.fromtimestamp(answer[0] / 1000, UTC), answer[1]) if answer else None
            for answer in answers
        ]

    async def withdraw_many(self, placed: Sequence[tuple[Wanted, Placed, Set[str]]]) -> list[bool | Refused]:
        """Withdraw what was placed and not granted of each, and those of its claims that are booked.

        What the same token has placed since is another's affair.

        Returns:
            Whether some of it was granted before, and stays.

        Raises:
            OutcomeUnknown
        """
        return await self._redis.apart(placed, lambda each: each[0].claims.site, self._withdraw)

    async def _withdraw(
        self, scripts: Scripts, placed: Sequence[tuple[Wanted, Placed, Set[str]]]
    ) -> list[bool]:
        calls = [
            _call(
                each,
                (each.holder.token, *as_placed.at, *(int(claim in booked) for claim in each.claims.keys)),
            )
            for each, as_placed, booked in placed
        ]
        answers = await _run(scripts, "withdraw_holds", calls)
        if any(isinstance(answer, ResponseError) for answer in answers):
            raise OutcomeUnknown  # they may stand
        return [bool(answer) for answer in answers]

    async def release_many(
        self, holds: Sequence[tuple[str, str]], deadline: Deadline
    ) -> list[bool | Refused]:
        """Release holds, each by its site and its token, with all that they hold, by a deadline.

        One that is yet to be granted is not granted any more.

        Returns:
            Whether the token held anything; a refusal where Redis has refused.

        Raises:
            HoldsUnreachable, NotExecuted, OutcomeUnknown
        """
        release = partial(self._release, deadline=deadline)
        released = await self._redis.apart(holds, lambda each: each[0], release)
        return list(released)

    async def _release(
        self, scripts: Scripts, holds: Sequence[tuple[str, str]], *, deadline: Deadline
    ) -> list[bool | Refused]:
        await _find_redis(scripts, deadline)
        calls = [Call(site, [token_key(site, token)], ()) for site, token in holds]
        answers: list[Any] = []
        for start in range(0, len(calls), MOST_RELEASED):
            answers += await _run(scripts, "release_holds", calls[start : start + MOST_RELEASED])
        return [HoldsUnreachable() if isinstance(each, ResponseError) else bool(each) for each in answers]

    async def remaining_intents(
        self, asked: Sequence[tuple[Claims, Sequence[str]]]
    ) -> list[list[str] | Refused]:
        """Of each of several lists of intents on some claims, those that are not cleared yet.

        Raises:
            HoldsUnreachable
        """
        return await self._redis.apart(asked, lambda each: each[0].site, self._remaining)

    async def _remaining(
        self, scripts: Scripts, asked: Sequence[tuple[Claims, Sequence[str]]]
    ) -> list[list[str]]:
        remaining: list[list[str]] = []
        calls = [Call(claims.site, keys_of(claims), (len(ids), *ids)) for claims, ids in asked]
        for part in in_parts(calls):
            for answer in await scripts.run("remaining_intents", part):
                if not isinstance(answer, list):
                    raise HoldsUnreachable
                remaining.append(answer)
        return remaining

    async def ping(self) -> None:
        """Ask Redis whether it is there.

        Raises:
            HoldsUnreachable
        """
        await self._redis.ping()


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


async def _run(
    scripts: Scripts, name: str, calls: Sequence[Call], common: Sequence[str | int] = ()
) -> list[Any]:
    answers: list[Any] = []
    try:
        for part in in_parts(calls):
            answers += await scripts.run(name, part, common)
    except HoldsUnreachable:
        raise OutcomeUnknown from None
    return answers


def _call(wanted: Wanted, args: Sequence[str | int]) -> Call:
    return Call(wanted.claims.site, keys_of(wanted.claims), args)
