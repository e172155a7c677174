"""A Redis Cluster: which of its masters has the keys of a site.

Not redis-py's client for clusters, which has no pipeline a node: what one node does to it, all sites feel.
Here each master has a connection pool, patience and a judgement whether it is lost of its own.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextvars import Context
from functools import partial
from typing import Any

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import MovedError, ResponseError

from shared.contract.errors import HoldsUnreachable, Refused
from shared.stores.redis.calls import Call
from shared.stores.redis.connection import connect_redis
from shared.stores.redis.scripts import AnswerT, ItemT, Scripts

Address = tuple[str, int]
SLOTS = 16_384
# How often a lost master has the others asked who has its slots now.
LOOK_AGAIN_SECONDS = 1.0


class Cluster:
    """The masters of a cluster, found by asking the servers of `urls`, and those that are known since."""

    def __init__(self, urls: Sequence[str], at: Callable[[Address], str]) -> None:
        """`at` makes the URL of a master, which differs in its address only."""
        self._at = at
        self._seeds = [_Master(connect_redis(url), self) for url in urls]
        self._masters: dict[Address, _Master] = {}
        self._owners: list[_Master | None] = [None] * SLOTS
        self._finding: asyncio.Task[None] | None = None
        self._found_at = 0.0

    async def apart(
        self,
        items: Sequence[ItemT],
        site_of: Callable[[ItemT], str],
        do: Callable[[Scripts, Sequence[ItemT]], Awaitable[Sequence[AnswerT]]],
    ) -> list[AnswerT | Refused]:
        """`do` it for the items of each master at once; see `Servers`."""
        if not self._masters:
            await self._find_masters()
        answers: dict[int, AnswerT | Refused] = {}
        shares: dict[_Master, list[int]] = {}
        for index, item in enumerate(items):
            if master := self._owners[key_slot(site_of(item).encode())]:
                shares.setdefault(master, []).append(index)
            else:  # nobody has it, as far as is known
                answers[index] = HoldsUnreachable()
                self.look_again()
        done = await asyncio.gather(
            *(do(master, [items[index] for index in share]) for master, share in shares.items()),
            return_exceptions=True,
        )
        for share, result in zip(shares.values(), done, strict=True):
            if isinstance(result, Refused):
                answers |= dict.fromkeys(share, result)
            elif isinstance(result, BaseException):
                raise result
            else:
                answers |= zip(share, result, strict=True)
        return [answers[index] for index in range(len(items))]

    async def ping(self) -> None:
        """Ask all that have slots whether they are there; see `Servers`."""
        await asyncio.gather(*(master.ping() for master in await self._all_owners()))

    async def any_answers(self) -> bool:
        """Ask all that have slots whether they are there; see `Servers`."""
        if not self._masters:
            await self._find_masters()
        owners = {each for each in self._owners if each}
        return any(await asyncio.gather(*(master.any_answers() for master in owners)))

    async def problem(self) -> str | None:
        """Ask all that have slots what is wrong with them; see `Servers`."""
        problems = await asyncio.gather(*(master.problem() for master in await self._all_owners()))
        return next(filter(None, problems), None)

    async def delete_all(self, kinds: Collection[str]) -> int:
        """Delete keys on all that have slots; see `Servers`."""
        return sum(await asyncio.gather(*(each.delete_all(kinds) for each in await self._all_owners())))

    async def _all_owners(self) -> "set[_Master]":
        if not self._masters:
            await self._find_masters()
        owners = {each for each in self._owners if each}
        if None in self._owners:
            raise HoldsUnreachable
        return owners

    async def aclose(self) -> None:
        """Close all connections."""
        if self._finding:
            self._finding.cancel()
        for server in self._servers():
            await server.aclose()

    def has_moved(self, moved: MovedError) -> Scripts:
        """Note which master says another one has a slot now; that one."""
        master = self._owners[moved.slot_id] = self._master_at(moved.node_addr)
        return master

    def look_again(self) -> None:
        """Find out, by and by, who has taken the place of a master that is lost."""
        if time.monotonic() - self._found_at > LOOK_AGAIN_SECONDS:
            self._start_finding()

    async def _find_masters(self) -> None:
        await asyncio.shield(self._start_finding())

    def _start_finding(self) -> asyncio.Task[None]:
        if self._finding is None or self._finding.done():
            self._finding = asyncio.create_task(self._ask_for_masters(), context=Context())
        return self._finding

    async def _ask_for_masters(self) -> None:
        """Ask all servers at once, and take the first answer."""
        questions = [asyncio.create_task(server.slots()) for server in self._servers()]
        for question in asyncio.as_completed(questions):
            if found := await question:
                self._owners = [None] * SLOTS
                for first, last, address in found:
                    self._owners[first : last + 1] = [self._master_at(address)] * (last + 1 - first)
                break
        self._found_at = time.monotonic()
        for each in questions:
            each.cancel()

    def _servers(self) -> "list[_Master]":
        return [*self._seeds, *self._masters.values()]

    def _master_at(self, address: Address) -> "_Master":
        if address not in self._masters:
            self._masters[address] = _Master(connect_redis(self._at(address)), self)
        return self._masters[address]


class _Master(Scripts):
    """One master: what it says has moved is done where it is now."""

    def __init__(self, redis: Redis, cluster: Cluster) -> None:
        super().__init__(redis)
        self._cluster = cluster

    async def slots(self) -> list[tuple[int, int, Address]]:
        """First slot, last slot and their master, as it knows them; empty where it does not say."""
        try:
            rows = await self._answer(partial(self._redis.execute_command, "CLUSTER SLOTS"))
        except (HoldsUnreachable, ResponseError):
            return []
        own_host: str = self._redis.connection_pool.connection_kwargs.get("host", "")
        return [(first, last, (master[0] or own_host, master[1])) for first, last, master, *_ in rows]

    async def _answer(self, command: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        try:
            return await super()._answer(command)
        except HoldsUnreachable:
            self._cluster.look_again()
            raise

    async def run(self, name: str, calls: Sequence[Call], common: Sequence[str | int] = ()) -> list[Any]:
        answers = await super().run(name, calls, common)
        moved: dict[Scripts, list[int]] = {}
        for index, answer in enumerate(answers):
            if isinstance(answer, MovedError):  # nothing of this call was done here
                moved.setdefault(self._cluster.has_moved(answer), []).append(index)
        for master, share in moved.items():
            again = await Scripts.run(master, name, [calls[index] for index in share], common)
            for index, answer in zip(share, again, strict=True):
                answers[index] = answer
        return answers
