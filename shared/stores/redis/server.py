"""Send commands to one Redis: bound their time, and decide whether it is lost."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from importlib.resources import files
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, NoScriptError, RedisError, ResponseError

from shared.contract.errors import HoldsUnreachable
from shared.stores.metrics import REDIS_LOST, REDIS_SECONDS, timed
from shared.stores.redis.connection import MOST_CONNECTIONS

# A booking that proceeds without Redis after two of these still meets an attempt's deadline.
ANSWER_SECONDS = 0.5
TURN_SECONDS = 1.5
MOST_UNANSWERED = 2
# A time-out that fires later than this after it was due was delayed by this process.
LATE_SECONDS = 0.025
# uvloop's error for a write to a closed connection, which redis-py does not translate; asyncio's own loop
# ignores such a write.
OVER_A_CLOSED_CONNECTION = "the handler is closed"

# How many keys one SCAN asks for.
KEYS_AT_ONCE = 1000
NO_EVICTION = "noeviction"
EVICTS = "REDIS_URL: this Redis may evict holds: its maxmemory-policy must be noeviction"

AnswerT = TypeVar("AnswerT")


def _read(name: str) -> str:
    return (files(__package__) / "lua" / f"{name}.lua").read_text()


def _source(name: str) -> str:
    """Return a script with the shared functions inserted after its first line, which has its flags."""
    flags, line_end, script = _read(name).partition("\n")
    return "".join((flags, line_end, *map(_read, ("holds", "shares", "tokens")), script))


_SOURCES = {
    name: _source(name)
    for name in (
        "clear_intents",
        "grant_holds",
        "held_claims",
        "look_at_holds",
        "held_resources",
        "place_holds",
        "register_intents",
        "release_holds",
        "use_up_holds",
        "withdraw_holds",
    )
}
_DIGESTS = {name: hashlib.sha1(source.encode()).hexdigest() for name, source in _SOURCES.items()}  # noqa: S324


class NoTimeToAsk(HoldsUnreachable):
    """This process stood still until no time was left to ask Redis, which may be reachable."""


class Server:
    """Runs the scripts of the folder `lua` by name. A process has one per Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._connections = asyncio.Semaphore(MOST_CONNECTIONS)
        self._lost = False

    async def evaluate(self, name: str, commands: Sequence[Sequence[str | int]]) -> list[Any]:
        """Run a script for some commands: each is the number of KEYS, the KEYS, the ARGV.

        Returns:
            One answer per command; a ResponseError if Redis refused it.

        Raises:
            HoldsUnreachable: Redis did not answer; some commands may have run.
        """
        with timed(REDIS_SECONDS.labels(name)):
            return await self._evaluate(name, commands)

    async def _evaluate(self, name: str, commands: Sequence[Sequence[str | int]]) -> list[Any]:
        answers = await self._send("EVALSHA", _DIGESTS[name], commands)
        unknown = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:  # Redis was restarted, or its scripts were flushed
            sent_whole = await self._send("EVAL", _SOURCES[name], [commands[index] for index in unknown])
            for index, answer in zip(unknown, sent_whole, strict=True):
                answers[index] = answer
        return answers

    async def _send(self, command: str, script: str, many: Sequence[Sequence[str | int]]) -> list[Any]:
        if len(many) == 1:  # a pipeline of one command costs more than the command
            try:
                return [await self._answer(partial(self._redis.execute_command, command, script, *many[0]))]
            except ResponseError as refusal:
                return [refusal]
        pipeline = self._redis.pipeline(transaction=False)
        for arguments in many:
            pipeline.execute_command(command, script, *arguments)
        try:
            answers: list[Any] = await self._answer(partial(pipeline.execute, raise_on_error=False))
        except ResponseError as refusal:
            return [refusal] * len(many)
        return answers

    async def ping(self) -> None:
        """Ping Redis.

        Raises:
            HoldsUnreachable: Redis does not answer.
        """
        try:
            await self._answer(self._redis.ping)
        except ResponseError:
            raise HoldsUnreachable from None

    async def answers(self) -> bool:
        """Return whether Redis answers a ping."""
        try:
            await self.ping()
        except HoldsUnreachable:
            return False
        return True

    async def problem(self) -> str | None:
        """Describe the eviction policy if Redis may evict holds; else, or if INFO is not permitted, None.

        Raises:
            HoldsUnreachable: Redis does not answer.
        """
        await self.ping()
        try:
            memory = await self._answer(partial(self._redis.execute_command, "INFO", "memory"))
        except ResponseError:
            return None
        policy = memory.get("maxmemory_policy", NO_EVICTION)
        return None if policy == NO_EVICTION else f"{EVICTS}, not {policy}"

    async def delete_all(self, kinds: Collection[str]) -> int:
        """Delete every key `<kind>:{<site>}:…` of some kinds with a scan over all keys; return their number.

        Raises:
            HoldsUnreachable: Redis did not answer; some keys may be deleted.
        """
        cursor, deleted = 0, 0
        found: list[str]
        while True:
            scan: Any = partial(self._redis.scan, cursor, count=KEYS_AT_ONCE)
            cursor, found = await self._answer(scan)
            pipeline = self._redis.pipeline(transaction=False)
            for key in found:
                if key.partition(":{")[0] in kinds:
                    pipeline.unlink(key)  # one by one: on a cluster the keys may be in several slots
            if len(pipeline):
                deleted += sum(await self._answer(pipeline.execute))
            if cursor == 0:
                return deleted

    async def aclose(self) -> None:
        """Close all connections."""
        await self._redis.aclose()

    async def _answer(self, command: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        """Send a command once a connection is free, and return the answer if it arrives in time.

        Raises:
            ResponseError: Redis refuses.
            HoldsUnreachable: Redis did not answer; the command may have run.
        """
        try:
            async with asyncio.timeout(TURN_SECONDS) as bound, self._connections:
                bound.reschedule(asyncio.get_running_loop().time() + ANSWER_SECONDS)
                return await command()
        except ResponseError:
            raise
        except BusyLoadingError as error:  # it still has all holds, so it is not lost
            raise ResponseError(str(error)) from None
        except (RedisError, OSError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and OVER_A_CLOSED_CONNECTION not in str(error):
                raise
            REDIS_LOST.inc()
            raise HoldsUnreachable from None

    async def ask(self, question: Callable[[], Awaitable[AnswerT]], *, seconds: float) -> AnswerT:
        """Send a question until Redis answers, leaves two unanswered, or `seconds` have passed.

        If Redis was lost before, one unanswered question suffices, because each costs every caller the time.
        A question whose time-out fired late does not count: this process stood still (its host is busy, or it
        was stopped), and the answer may have arrived.

        Raises:
            HoldsUnreachable: Redis is lost.
            NoTimeToAsk: the time is over, and Redis is not known to be lost.
        """
        ends, unanswered = time.monotonic() + seconds, 0
        while True:
            asked = time.monotonic()
            try:
                answer = await question()
            except HoldsUnreachable:
                if time.monotonic() - asked > ANSWER_SECONDS + LATE_SECONDS:
                    if time.monotonic() + ANSWER_SECONDS > ends:
                        raise NoTimeToAsk from None
                    continue
                unanswered += 1
                if self._lost or unanswered == MOST_UNANSWERED:
                    # Only now, because other questions may have timed out at the same moment.
                    self._lost = True
                    raise
            else:
                self._lost = False
                return answer
