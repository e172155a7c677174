"""Run Lua scripts on Redis. Each script is atomic."""

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
        """Return the server with the keys of each site; None if no server is known to have them."""

    async def all(self) -> Collection[Server]:
        """Return all servers that have keys.

        Raises:
            HoldsUnreachable: the owner of some keys is not known.
        """

    async def known(self) -> Collection[Server]:
        """Return all servers that are known to have keys."""

    def moved(self, redirection: MovedError) -> Server | None:
        """Record the new owner of a slot after a redirection; return the server to ask, if any."""

    async def aclose(self) -> None:
        """Close all connections."""


@dataclass(frozen=True)
class _Task:
    """A script to run, with the first of its ARGV."""

    script: str
    common: Sequence[str | int]


class Scripts:
    """Runs scripts for any number of calls, on the servers that have the keys of their sites.

    One command serves all calls of a site, because a command costs the sender and Redis more than the work of
    one booking. A lost server concerns only the calls of its own sites.
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
        """Run a script for some calls: in parts, and again for the calls that it left for later.

        Args:
            name: the script's file in `lua`, without its suffix.
            calls: the calls.
            common: the first ARGV.
            seconds: with it, an unanswered script is run again until they have passed or Redis is lost.
            once: do not run an unanswered script again; instead, ping Redis before.

        Returns:
            One answer per call, in the same order. ResponseError: Redis refused the call. HoldsUnreachable,
            or with `once` OutcomeUnknown: Redis did not answer, and the script may have run.
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
        """Run a script once for a part of the calls; for a site that has moved, on the new owner."""
        sites: dict[str, list[int]] = {}
        for index, call in enumerate(calls):
            sites.setdefault(call.site, []).append(index)
        answers: list[Any] = [LATER] * len(calls)
        commands = [merged([calls[index] for index in indexes], task.common) for indexes in sites.values()]
        evaluated = await server.evaluate(task.script, commands)
        for number, (command, answer) in enumerate(zip(commands, evaluated, strict=True)):
            if isinstance(answer, MovedError) and (new_owner := self._servers.moved(answer)):
                # A redirected call had no effect here.
                (evaluated[number],) = await new_owner.evaluate(task.script, [command])
        for indexes, answer in zip(sites.values(), evaluated, strict=True):
            results = answer if isinstance(answer, list) else [answer] * len(indexes)
            for index, result in zip(indexes, results, strict=True):
                answers[index] = result
        return answers

    async def any_answers(self) -> bool:
        """Return whether any known server answers."""
        known = await self._servers.known()
        return any(await asyncio.gather(*(server.answers() for server in known)))

    async def problem(self) -> str | None:
        """Describe a problem of the servers: one may evict holds. None if no problem is known.

        Raises:
            HoldsUnreachable: a server does not answer.
        """
        problems = await asyncio.gather(*(server.problem() for server in await self._servers.all()))
        return next(filter(None, problems), None)

    async def delete_all(self, kinds: Collection[str]) -> int:
        """Delete every key of some kinds (`keys.py`) on all servers; return their number.

        Raises:
            HoldsUnreachable: a server does not answer; some keys may be deleted.
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
