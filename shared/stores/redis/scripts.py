"""Lua scripts on Redis: each runs as a whole or not at all, and sees nothing of the others half done."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from shared.contract.errors import NotExecuted, OutcomeUnknown

# What one pipeline carries: so much that Redis answers all of several workers' within a socket's timeout.
MOST_KEYS = 1000

AnswerT = TypeVar("AnswerT")
_SOURCES = {
    name: (files(__package__) / "lua" / f"{name}.lua").read_text()
    for name in ("enter", "grant", "leave", "pending", "place", "remove")
}


class HoldsUnreachable(NotExecuted):
    """Redis does not answer: no hold was placed, and none could be read."""

    message = "Holds are not available at the moment; nothing was done"


@dataclass(frozen=True)
class Call:
    """The KEYS and ARGV of a script."""

    keys: Sequence[str]
    args: Sequence[str | int]


class Scripts:
    """Runs the scripts of the folder `lua` by their names."""

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

    async def ask_twice(self, ask: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        """Ask again before Redis is taken for lost; not while it is, for that costs every caller the time.

        A process that was paused, or had much to do, finds its time up though the answer is there.

        Raises:
            HoldsUnreachable
        """
        for again in (True, False):
            try:
                answer = await ask()
            except HoldsUnreachable:
                if self._lost or not again:
                    self._lost = True  # not before: others may have found their time up in the same moment
                    raise
            else:
                self._lost = False
                break
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
