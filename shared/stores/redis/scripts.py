"""Lua scripts on Redis: each runs as a whole or not at all, and sees nothing of the others half done."""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from redis.exceptions import MovedError

from shared.contract.errors import HoldsUnreachable, OutcomeUnknown
from shared.stores.redis.calls import LATER, Call, calls_in_parts, merged
from shared.stores.redis.server import Server


class Servers(Protocol):
    """The servers that have the keys of all sites: one Redis, or the masters of a cluster."""

    async def owners(self, sites: Sequence[str]) -> Sequence[Server | None]:
        """The server with the keys of each site; None if none is known to have them."""

    async def all(self) -> Collection[Server]:
        """All servers that have keys.

        Raises:
            HoldsUnreachable: of some keys it is not known who has them.
        """

    async def known(self) -> Collection[Server]:
        """All servers that are known to have keys."""

    def moved(self, redirection: MovedError) -> Server | None:
        """Note which server has a slot now that another has answered so; that one, if it is to be asked."""

    async def aclose(self) -> None:
        """Close all connections."""


@dataclass(frozen=True)
class _Task:
    """A script that is to be run, with the first of its ARGV."""

    script: str
    common: Sequence[str | int]


class Scripts:
    """Runs scripts for any number of calls, wherever the keys of their sites are.

    Each script serves many calls, one command a site: a command costs its sender and Redis more than what one
    booking has Redis do. A server that is lost concerns the calls of its own sites alone.
    """

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    async def run(
        self,
        name: str,
        calls: Sequence[Call],
        common: Sequence[str | int] = (),
        *,
        seconds: float | None = None,
        once: bool = False,
    ) -> list[Any]:
        """Run a script for some calls: in parts, and again for those that it left for later.

        `common` are the first ARGV. With `seconds`, a script that is left unanswered is run again, unless
        Redis is lost or they are over. With `once` too, it is not: Redis is only asked before whether it is
        there.

        Returns:
            An answer for each, in their order. In its place a ResponseError if Redis refused the call,
            HoldsUnreachable if Redis did not answer, OutcomeUnknown if that concerns a script that was to be
            run `once`: in both cases it may have run.
        """
        task = _Task(name, common)
        answers: list[Any] = [HoldsUnreachable()] * len(calls)
        shares: dict[Server, list[int]] = {}
        owners = await self._servers.owners([call.site for call in calls])
        for index, server in enumerate(owners):
            if server:
                shares.setdefault(server, []).append(index)
        runs = [
            self._run_on(server, task, [calls[index] for index in share], seconds, once=once)
            for server, share in shares.items()
        ]
        done = [await runs[0]] if len(runs) == 1 else await asyncio.gather(*runs)  # which makes tasks
        for share, results in zip(shares.values(), done, strict=True):
            for index, answer in zip(share, results, strict=True):
                answers[index] = answer
        return answers

    async def _run_on(
        self, server: Server, task: "_Task", calls: Sequence[Call], seconds: float | None, *, once: bool
    ) -> list[Any]:
        answers: list[Any] = [LATER] * len(calls)
        ends = None if seconds is None else time.monotonic() + seconds
        lost: type[HoldsUnreachable | OutcomeUnknown] = HoldsUnreachable
        try:
            if once and ends is not None:
                await server.ask(server.ping, seconds=ends - time.monotonic())
                lost, ends = OutcomeUnknown, None
            while left := [index for index, answer in enumerate(answers) if answer == LATER]:
                for part in _parts_of(left, calls):
                    run = partial(self._run_part, server, task, [calls[index] for index in part])
                    done = await (run() if ends is None else server.ask(run, seconds=ends - time.monotonic()))
                    for index, answer in zip(part, done, strict=True):
                        answers[index] = answer
        except HoldsUnreachable as unanswered:
            instead = unanswered if lost is HoldsUnreachable else lost()
            answers = [instead if answer == LATER else answer for answer in answers]
        return answers

    async def _run_part(self, server: Server, task: "_Task", calls: Sequence[Call]) -> list[Any]:
        """Run a script once for calls that fit together, and where a site has moved to, for its calls."""
        sites: dict[str, list[int]] = {}
        for index, call in enumerate(calls):
            sites.setdefault(call.site, []).append(index)
        answers: list[Any] = [LATER] * len(calls)
        commands = [merged([calls[index] for index in indexes], task.common) for indexes in sites.values()]
        evaluated = await server.evaluate(task.script, commands)
        for number, (command, answer) in enumerate(zip(commands, evaluated, strict=True)):
            if isinstance(answer, MovedError) and (new_owner := self._servers.moved(answer)):
                # Nothing of it was done here.
                (evaluated[number],) = await new_owner.evaluate(task.script, [command])
        for indexes, answer in zip(sites.values(), evaluated, strict=True):
            each = answer if isinstance(answer, list) else [answer] * len(indexes)
            for index, part in zip(indexes, each, strict=True):
                answers[index] = part
        return answers

    async def any_answers(self) -> bool:
        """Ask all servers that are known whether they are there; whether one is."""
        known = await self._servers.known()
        return any(await asyncio.gather(*(server.answers() for server in known)))

    async def problem(self) -> str | None:
        """What is wrong with a server that answers: it may evict holds. None if nothing is known to be.

        Raises:
            HoldsUnreachable: one does not answer.
        """
        problems = await asyncio.gather(*(server.problem() for server in await self._servers.all()))
        return next(filter(None, problems), None)

    async def delete_all(self, kinds: Collection[str]) -> int:
        """Delete every key of some kinds (`keys.py`) on all servers, and count them.

        Raises:
            HoldsUnreachable: one is not there; some keys may be deleted.
        """
        servers = await self._servers.all()
        return sum(await asyncio.gather(*(server.delete_all(kinds) for server in servers)))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._servers.aclose()


def _parts_of(indexes: Sequence[int], calls: Sequence[Call]) -> list[Sequence[int]]:
    """Split the indexes of calls into parts that one run of a script is called with."""
    start, parts = 0, list[Sequence[int]]()
    for part in calls_in_parts([calls[index] for index in indexes]):
        parts.append(indexes[start : start + len(part)])
        start += len(part)
    return parts
