"""Holds in Redis: one key an instant, set where there is none, with a TTL, compared and removed by Lua.

A hold keeps others from booking a slot while its patient checks out. It never decides who gets the
slot, so losing Redis loses holds and nothing else.

A hold and a booking that are under way together would miss each other: the booking finds no hold, the
hold is set, MongoDB shows no booking yet, the hold is granted, the booking is inserted. So a booking
enters: one script reads the holds and, if it may pass, registers the booking as under way (an intent).
It leaves once it is decided. A hold is set first; then it waits for the bookings that were under way at
that moment, and only then reads MongoDB. Whatever comes later finds the hold. Intents never keep
bookings from each other: between bookings the index alone decides.

Only then is the hold granted, by a mark in Redis, and its caller answered. What has no mark was promised
to nobody: a hold of a worker that died on the way is taken back by the next attempt that is refused.

What this cannot promise: a hold that Redis has lost (a failover, a flush, an eviction, a clock that
jumps) is not honoured, nor one that a booking worker cannot reach; an insert that MongoDB carries out
later than `INTENT_MARGIN_MS` after its caller's deadline is no longer waited for.
"""

from collections.abc import Sequence, Set
from datetime import UTC, datetime
from functools import partial
from typing import Any

from redis.asyncio import Redis

from shared.contract.errors import OutcomeUnknown
from shared.stores.redis.claims import BookingIntent, HoldClaim, HoldState, PlacedHold
from shared.stores.redis.scripts import Call, HoldsUnreachable, Scripts, in_pipelines

# How long a booking counts as under way beyond its deadline, if nobody says that it is decided.
INTENT_MARGIN_MS = 5000


class HoldStore:
    """Holds of up to `hold_ms`, extended by their token to at most `max_ms` from the first."""

    def __init__(self, redis: Redis, *, hold_ms: int, max_ms: int) -> None:
        self._scripts = Scripts(redis)
        self._hold_ms = hold_ms
        self._max_ms = max_ms

    async def place(self, claim: HoldClaim) -> PlacedHold | None:
        """Set a hold on a slot, or extend the one with the same token; it is yet to be granted.

        Returns:
            The hold; None where another token holds the slot.

        Raises:
            HoldsUnreachable, OutcomeUnknown
        """
        await self._scripts.ask_twice(self._scripts.ping)
        # What fails from here on may have been executed.
        args = (claim.token, claim.digest, self._hold_ms, self._max_ms)
        answer = await self._scripts.run("place", Call(claim.keys, args))
        if not answer:
            return None
        expires_ms, milliseconds, since, under_way = answer
        expires_at = datetime.fromtimestamp(expires_ms / 1000, UTC)
        return PlacedHold(expires_at, milliseconds, since, under_way)

    async def grant(self, claim: HoldClaim, placed: PlacedHold) -> bool:
        """Promise a hold to its patient, if all of it still stands as it was placed.

        Raises:
            OutcomeUnknown
        """
        try:
            return bool(await self._scripts.run("grant", Call(claim.keys, (claim.token, *placed.since))))
        except HoldsUnreachable:
            raise OutcomeUnknown from None  # it is set, though not granted

    async def take_back(self, claim: HoldClaim, booked: Set[datetime] = frozenset()) -> bool:
        """Remove what was set and not granted, and what is `booked`.

        Returns:
            Whether some of it was granted before, and stays.

        Raises:
            OutcomeUnknown
        """
        flags = [int(instant in booked) for instant in claim.instants]
        try:
            return bool(await self._scripts.run("remove", Call(claim.keys, (claim.token, *flags))))
        except HoldsUnreachable:
            raise OutcomeUnknown from None  # it may stand

    async def still_under_way(self, claim: HoldClaim, ids: Sequence[str]) -> list[str]:
        """Those of the given bookings that are not decided yet.

        Raises:
            HoldsUnreachable, OutcomeUnknown
        """
        return list(await self._scripts.run("pending", Call(claim.keys, ids))) if ids else []

    async def register_intents(
        self, intents: Sequence[BookingIntent], *, seconds: float
    ) -> list[HoldState | None]:
        """What each booking finds on its slot; those that may pass are under way for up to `seconds`.

        Returns:
            A state each, in their order; None where Redis could not say.
        """
        # From a worker that was paused, seconds may be negative: a key without an end would be left.
        milliseconds = int(max(seconds, 0) * 1000) + INTENT_MARGIN_MS
        calls = [_call(intent, milliseconds) for intent in intents]
        found: list[Any] = []
        try:
            for part in in_pipelines(calls):  # to enter twice is once
                found += await self._scripts.ask_twice(partial(self._scripts.run_all, "enter", part))
        except HoldsUnreachable:
            found += [None] * (len(calls) - len(found))
        return [HoldState(state) if isinstance(state, int) else None for state in found]

    async def clear_intents(self, decided: Sequence[tuple[BookingIntent, bool]]) -> None:
        """Bookings that are no longer under way; with True, the booking has used up its patient's holds.

        Raises:
            HoldsUnreachable: what was not removed expires by itself.
        """
        for part in in_pipelines([_call(intent, int(booked)) for intent, booked in decided]):
            await self._scripts.run_all("leave", part)

    async def ping(self) -> None:
        """Ask Redis whether it is there.

        Raises:
            HoldsUnreachable
        """
        await self._scripts.ping()


def _call(intent: BookingIntent, last: int) -> Call:
    """A call of `enter.lua` or `leave.lua`, which differ in their last argument."""
    return Call(intent.claim.keys, (intent.claim.token, intent.claim.digest, intent.id, last))
