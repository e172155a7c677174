"""Holds in Redis: one key a claim, set where there is none, with a TTL, compared and removed by Lua.

A hold keeps others from booking a slot while its patient checks out. It never decides who gets the
slot, so losing Redis loses holds and nothing else.

A hold is placed first, for hardly longer than its command may take; then it waits for the intents that were
there (`intents.py`), and only then MongoDB is read. Whatever comes later finds the hold. If nothing is booked
it is granted, which gives it its full time, and its caller is answered. What is not granted was promised to
nobody: it is withdrawn, or ends by itself soon after its command's deadline.

What this cannot promise: a hold that Redis has lost (a failover, a flush, an eviction, a clock that
jumps) is not honoured, nor one that a booking worker cannot reach.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.contract.errors import HoldsUnreachable, OutcomeUnknown
from shared.domain.claim import Claims
from shared.stores.redis.keys import Holder, keys_of
from shared.stores.redis.scripts import Call, NoTimeToAsk, Scripts, in_pipelines

# How long a hold that is yet to be granted stands beyond its command's deadline.
PLACED_MARGIN_MS = 1000


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
    """Holds of `hold_ms`, extended by their token to at most `max_ms` from when they were first granted."""

    def __init__(self, scripts: Scripts, *, hold_ms: int, max_ms: int) -> None:
        self._scripts = scripts
        self._hold_ms = hold_ms
        self._max_ms = max_ms

    async def place(self, claims: Claims, holder: Holder, *, seconds: float) -> Placed | None:
        """Place a hold, or an extension of the one with the same token, to be granted within `seconds`.

        Returns:
            What was placed; None where another token holds one of the claims.

        Raises:
            HoldsUnreachable, OutcomeUnknown
        """
        try:
            await self._scripts.ask(self._scripts.ping, seconds=seconds)
        except NoTimeToAsk:
            raise HoldsUnreachable from None
        # What fails from here on may have been executed.
        milliseconds = int(max(seconds, 0) * 1000) + PLACED_MARGIN_MS
        args = (holder.token, holder.digest, milliseconds, self._max_ms)
        answer = await self._scripts.run("place_hold", Call(keys_of(claims), args))
        return Placed(*answer) if answer else None

    async def grant(self, claims: Claims, holder: Holder, placed: Placed) -> Granted | None:
        """Promise a hold to its patient, if all of it still stands as it was placed; None if it does not.

        Raises:
            OutcomeUnknown
        """
        args: list[str | int] = [holder.token, self._hold_ms, self._max_ms, *placed.at]
        try:
            answer = await self._scripts.run("grant_hold", Call(keys_of(claims), args))
        except HoldsUnreachable:
            raise OutcomeUnknown from None  # it is placed, though not granted
        if not answer:
            return None
        expires_ms, milliseconds = answer
        return Granted(datetime.fromtimestamp(expires_ms / 1000, UTC), milliseconds)

    async def withdraw(self, claims: Claims, holder: Holder, booked: Set[str] = frozenset()) -> bool:
        """Withdraw what was placed and not granted, and the claims that are `booked`.

        Returns:
            Whether some of it was granted before, and stays.

        Raises:
            OutcomeUnknown
        """
        flags = [int(claim in booked) for claim in claims.keys]
        try:
            return bool(
                await self._scripts.run("withdraw_hold", Call(keys_of(claims), (holder.token, *flags)))
            )
        except HoldsUnreachable:
            raise OutcomeUnknown from None  # it may stand

    async def remaining_intents(self, asked: Sequence[tuple[Claims, Sequence[str]]]) -> list[list[str]]:
        """Of each of several lists of intents on some claims, those that are not cleared yet.

        Raises:
            HoldsUnreachable
        """
        remaining: list[list[str]] = []
        for part in in_pipelines([Call(keys_of(claims), ids) for claims, ids in asked]):
            for answer in await self._scripts.run_all("remaining_intents", part):
                if not isinstance(answer, list):
                    raise HoldsUnreachable
                remaining.append(answer)
        return remaining

    async def ping(self) -> None:
        """Ask Redis whether it is there.

        Raises:
            HoldsUnreachable
        """
        await self._scripts.ping()
