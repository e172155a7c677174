"""Lua scripts on Redis: each runs as a whole or not at all, and sees nothing of the others half done."""

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from shared.contract.errors import HoldsUnreachable, OutcomeUnknown
from shared.stores.redis.connection import SOCKET_SECONDS

# What one pipeline carries: so much that Redis answers all of several workers' within a socket's timeout.
MOST_KEYS = 1000
MOST_UNANSWERED = 2
# A time-out that is later than this did not come when it was due.
LATE_SECONDS = 0.025

AnswerT = TypeVar("AnswerT")
_SOURCES = {
    name: (files(__package__) / "lua" / f"{name}.lua").read_text()
    for name in (
        "clear_intent",
        "grant_hold",
        "place_hold",
        "register_intent",
        "remaining_intents",
        "withdraw_hold",
    )
}


class NoTimeToAsk(HoldsUnreachable):
    """This process stood still until no time was left to ask Redis, which may well be there."""


@dataclass(frozen=True)
class Call:
    """The KEYS and ARGV of a script."""

    keys: Sequence[str]
    args: Sequence[str | int]


class Scripts:
    """Runs the scripts of the folder `lua` by their names; one for all that a process asks of its Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._lost = False

    async def run(self, name: str, call: Call) -> Any:
        """Run a script once.

        Raises:
            HoldsUnreachable: Redis refused.
            OutcomeUnknown: it did not answer.
        """
        try:
            return await self._redis.eval(_SOURCES[name], len(call.keys), *call.keys, *call.args)
        except ResponseError:  # refused by Redis itself: out of memory, read-only, loading
            raise HoldsUnreachable() from None
        except (RedisError, OSError):
            raise OutcomeUnknown() from None

    async def run_all(self, name: str, calls: Sequence[Call]) -> list[Any]:
        """Run a script for each of some `calls` that fit one pipeline (`in_pipelines`).

        Returns:
            Their answers; a ResponseError where Redis refused.

        Raises:
            HoldsUnreachable: Redis did not answer; some may have run.
        """
        pipeline = self._redis.pipeline(transaction=False)
        for call in calls:
            pipeline.eval(_SOURCES[name], len(call.keys), *call.keys, *call.args)
        try:
            return await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError):
            raise HoldsUnreachable() from None

    async def ping(self) -> None:
        """Ask Redis whether it is there.

        Raises:
            HoldsUnreachable
        """
        try:
            await self._redis.ping()
        except (RedisError, OSError):
            raise HoldsUnreachable() from None

    async def ask(self, question: Callable[[], Awaitable[AnswerT]], *, seconds: float) -> AnswerT:
        """Ask, for at most some `seconds`, until Redis has answered, or left two questions unanswered.

        Only one where it was lost before, for that costs every caller the time. A question whose time-out
        came late counts for none: this process stood still (its host is busy, it was stopped), and the answer
        may be there.

        Raises:
            HoldsUnreachable: Redis is lost.
            NoTimeToAsk: it is not known to be.
        """
        ends, unanswered = time.monotonic() + seconds, 0
        while True:
            asked = time.monotonic()
            try:
                answer = await question()
            except HoldsUnreachable:
                if time.monotonic() - asked > SOCKET_SECONDS + LATE_SECONDS:
                    if time.monotonic() + SOCKET_SECONDS > ends:
                        raise NoTimeToAsk from None
                    continue
                unanswered += 1
                if self._lost or unanswered == MOST_UNANSWERED:
                    self._lost = True  # not before: others may have found their time up in the same moment
                    raise
            else:
                self._lost = False
                return answer


def in_pipelines(calls: Sequence[Call]) -> Iterator[Sequence[Call]]:
    """The calls in their order, in parts of at most `MOST_KEYS` keys; a larger one is a part of its own."""
    start = keys = 0
    for end, call in enumerate(calls):
        if keys and keys + len(call.keys) > MOST_KEYS:
            yield calls[start:end]
            start, keys = end, 0
        keys += len(call.keys)
    if calls:
        yield calls[start:]
