"""Holds in Redis: one key an instant, set with NX and a TTL, compared and removed by Lua.

A hold keeps others from booking a slot while its patient checks out. It never decides who gets the
slot, so losing Redis loses holds and nothing else.

A hold and a booking that are under way together would miss each other: the booking finds no hold, the
hold is set, MongoDB shows no booking yet, the hold is granted, the booking is inserted. So a booking
enters: one script reads the holds and, if it may pass, registers the booking as under way (an intent).
It leaves once it is decided. A hold is set first; then it waits for the bookings that were under way at
that moment, and only then reads MongoDB. Whatever comes later finds the hold. Intents never keep
bookings from each other: between bookings the index alone decides.

What this cannot promise: a hold that Redis has lost (a failover, a flush, an eviction, a clock that
jumps) is not honoured, nor one that a booking worker cannot reach; an insert that MongoDB carries out
later than `INTENT_MARGIN_MS` after its caller's deadline is no longer waited for.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from typing import Any, TypeVar
from uuid import uuid4

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from shared.errors import NotExecuted, OutcomeUnknown
from shared.stores.claims import HoldClaim, HoldState, Passage, PlacedHold

# How long a booking counts as under way beyond its deadline, if nobody says that it is decided.
INTENT_MARGIN_MS = 5000

AnswerT = TypeVar("AnswerT")
_SCRIPTS = {
    name: (files(__package__) / "lua" / f"{name}.lua").read_text()
    for name in ("enter", "leave", "pending", "place", "remove")
}


class HoldsUnreachable(NotExecuted):
    """Redis does not answer: no hold was placed, and none could be read."""

    message = "Holds are not available at the moment; nothing was done"


class HoldStore:
    """Holds of up to `hold_ms`, extended by their token to at most `max_ms` from the first."""

    def __init__(self, redis: Redis, *, hold_ms: int, max_ms: int) -> None:
        self._redis = redis
        self._hold_ms = hold_ms
        self._max_ms = max_ms
        self._lost = False

    async def place(self, claim: HoldClaim) -> PlacedHold | None:
        """Hold a slot, or extend the hold with the same token.

        Returns:
            The hold; None where another token holds the slot.

        Raises:
            HoldsUnreachable, OutcomeUnknown
        """
        await self._ask_twice(self.ping)
        # What fails from here on may have been executed.
        placement = uuid4().hex
        answer = await self._run(
            "place", claim, claim.token, claim.digest, self._hold_ms, self._max_ms, placement
        )
        if not answer:
            return None
        expires_ms, milliseconds, fresh, under_way = answer
        expires_at = datetime.fromtimestamp(expires_ms / 1000, UTC)
        fresh = frozenset(claim.instants[number - 1] for number in fresh)
        return PlacedHold(placement, expires_at, milliseconds, fresh, under_way)

    async def take_back(self, claim: HoldClaim, placed: PlacedHold) -> None:
        """Undo a placement on the instants of `claim`, which may be some of those that were placed.

        A hold that was placed again since stays: a repeat of the command may be granted.

        Raises:
            HoldsUnreachable, OutcomeUnknown
        """
        await self._run("remove", claim, claim.token, placed.placement)

    async def still_under_way(self, claim: HoldClaim, ids: Sequence[str]) -> list[str]:
        """Those of the given bookings that are not decided yet.

        Raises:
            HoldsUnreachable, OutcomeUnknown
        """
        return list(await self._run("pending", claim, *ids)) if ids else []

    async def enter_many(self, passages: Sequence[Passage], *, seconds: float) -> list[HoldState | None]:
        """What each booking finds on its slot; those that may pass are under way for up to `seconds`.

        Returns:
            A state each, in their order; None where Redis refused to say.

        Raises:
            HoldsUnreachable
        """
        # From a worker that was paused, seconds may be negative: a key without an end would be left.
        calls = [(passage, int(max(seconds, 0) * 1000) + INTENT_MARGIN_MS) for passage in passages]
        states = await self._ask_twice(partial(self._pipeline, "enter", calls))  # to enter twice is once
        return [None if isinstance(state, Exception) else HoldState(state) for state in states]

    async def leave_many(self, decided: Sequence[tuple[Passage, bool]]) -> None:
        """Bookings that are no longer under way; with True, the booking has used up its patient's holds.

        Raises:
            HoldsUnreachable: what was not removed expires by itself.
        """
        await self._pipeline("leave", [(passage, int(booked)) for passage, booked in decided])

    async def ping(self) -> None:
        """Ask Redis whether it is there.

        Raises:
            HoldsUnreachable
        """
        try:
            await self._redis.ping()
        except (RedisError, OSError):
            raise HoldsUnreachable() from None

    async def _ask_twice(self, ask: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        """Ask again before Redis is taken for lost; not while it is, for that costs every caller the time.

        A process that was paused, or had much to do, finds its time up though the answer is there.
        """
        try:
            answer = await ask()
        except HoldsUnreachable:
            if self._lost:
                raise
            answer = await self._ask_again(ask)
        self._lost = False
        return answer

    async def _ask_again(self, ask: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        try:
            return await ask()
        except HoldsUnreachable:
            self._lost = True  # not before: others may have found their time up in the same moment
            raise

    async def _run(self, script: str, claim: HoldClaim, *args: str | int) -> Any:
        try:
            return await self._redis.eval(_SCRIPTS[script], len(claim.keys), *claim.keys, *args)
        except ResponseError:  # refused by Redis itself: out of memory, read-only, loading
            raise HoldsUnreachable() from None
        except (RedisError, OSError):
            raise OutcomeUnknown() from None

    async def _pipeline(self, script: str, calls: Sequence[tuple[Passage, int]]) -> list[Any]:
        if not calls:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        for passage, last in calls:
            claim = passage.claim
            pipeline.eval(
                _SCRIPTS[script], len(claim.keys), *claim.keys, claim.token, claim.digest, passage.id, last
            )
        try:
            return await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError):
            raise HoldsUnreachable() from None
