"""Holds in Redis: one key an instant, set with NX and a TTL, compared and removed by Lua.

A hold keeps others from booking a slot while its patient checks out. It never decides who gets the
slot, so losing Redis loses holds and nothing else.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from importlib.resources import files
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from shared.commands import SlotRequest
from shared.errors import NotExecuted, OutcomeUnknown
from shared.grid import Span
from shared.instants import unix_milliseconds
from shared.settings import Misconfigured

SOCKET_SECONDS = 0.5
POOL_WAIT_SECONDS = 1.5
POOL_CONNECTIONS = 64

_SCRIPTS = {
    name: (files(__package__) / "lua" / f"{name}.lua").read_text() for name in ("place", "check", "remove")
}


class HoldsUnreachable(NotExecuted):
    """Redis does not answer: no hold was placed, and none could be read."""

    message = "Holds are not available at the moment; nothing was done"


class HoldState(IntEnum):
    """What a booking finds on its slot; the numbers are those of `check.lua`."""

    FREE = 0
    MINE = 1
    OTHERS = 2


@dataclass(frozen=True)
class HoldClaim:
    """A patient's claim to a slot: by `token`, or by the digest of the name."""

    keys: tuple[str, ...]
    token: str
    digest: str

    @classmethod
    def of(cls, request: SlotRequest, span: Span) -> "HoldClaim":
        keys = (f"hold:{{{request.resource}}}:{unix_milliseconds(instant)}" for instant in span.occupies)
        digest = hashlib.sha256(request.patientName.encode()).hexdigest()
        return cls(tuple(keys), request.holdToken or "", digest)


@dataclass(frozen=True)
class PlacedHold:
    """A hold that was placed or extended, with what is left of it at that moment, by the clock of Redis."""

    expires_at: datetime
    milliseconds: int


def connect_redis(url: str) -> Redis:
    """A client that connects when first used, and fails within a second where Redis is gone.

    Raises:
        Misconfigured: the URL cannot be used; the line does not repeat it, since it may hold a password.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=POOL_CONNECTIONS,
            timeout=POOL_WAIT_SECONDS,
            socket_timeout=SOCKET_SECONDS,
            socket_connect_timeout=SOCKET_SECONDS,
            # A script may have run although its answer was lost: whether to repeat it is the caller's choice.
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
    except ValueError as error:
        raise Misconfigured(f"REDIS_URL cannot be used: {type(error).__name__}") from None
    return Redis(connection_pool=pool)


class HoldStore:
    """Holds of up to `hold_ms`, extended by their token to at most `max_ms` from the first."""

    def __init__(self, redis: Redis, *, hold_ms: int, max_ms: int) -> None:
        self._redis = redis
        self._hold_ms = hold_ms
        self._max_ms = max_ms

    async def place(self, claim: HoldClaim) -> PlacedHold | None:
        """Hold a slot, or extend the hold with the same token.

        Returns:
            The hold; None where another token holds the slot.

        Raises:
            HoldsUnreachable, OutcomeUnknown
        """
        await self.ping()  # what fails from here on may have been executed
        answer = await self._run("place", claim, claim.token, claim.digest, self._hold_ms, self._max_ms)
        if not answer:
            return None
        expires_ms, milliseconds = answer
        return PlacedHold(datetime.fromtimestamp(expires_ms / 1000, UTC), milliseconds)

    async def remove(self, claim: HoldClaim) -> None:
        """Take back the hold with the claim's token, if it is there."""
        await self._run("remove", claim, claim.token, "")

    async def check_many(self, claims: Sequence[HoldClaim]) -> list[HoldState]:
        """What each claim finds on its slot, in one round trip.

        Raises:
            HoldsUnreachable
        """
        states = await self._pipeline("check", claims)
        return [HoldState(state) for state in states]

    async def consume_many(self, claims: Sequence[HoldClaim]) -> None:
        """Remove the holds that bookings have used up, in one round trip."""
        await self._pipeline("remove", claims)

    async def ping(self) -> None:
        """Ask Redis whether it is there.

        Raises:
            HoldsUnreachable
        """
        try:
            await self._redis.ping()
        except (RedisError, OSError):
            raise HoldsUnreachable() from None

    async def _run(self, script: str, claim: HoldClaim, *args: str | int) -> Any:
        try:
            return await self._redis.eval(_SCRIPTS[script], len(claim.keys), *claim.keys, *args)
        except ResponseError:  # refused by Redis itself: out of memory, read-only, loading
            raise HoldsUnreachable() from None
        except (RedisError, OSError):
            raise OutcomeUnknown() from None

    async def _pipeline(self, script: str, claims: Sequence[HoldClaim]) -> list[Any]:
        if not claims:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        for claim in claims:
            pipeline.eval(_SCRIPTS[script], len(claim.keys), *claim.keys, claim.token, claim.digest)
        try:
            return await pipeline.execute()
        except (RedisError, OSError):
            raise HoldsUnreachable() from None
