"""Find the master of a Redis Cluster that has the keys of a site.

redis-py's cluster client has no pipeline per node, so a slow node would delay all sites. Here each master has
its own connection pool, its own time-outs and its own state of being lost.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextvars import Context
from functools import partial

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import MovedError, ResponseError

from shared.contract.errors import HoldsUnreachable
from shared.stores.redis.connection import connect_redis
from shared.stores.redis.server import AnswerT, Server

Address = tuple[str, int]
SLOTS = 16_384
# The least time between two searches for the new owner of a lost master's slots.
LOOK_AGAIN_SECONDS = 1.0


class Cluster:
    """The masters of a cluster: found by asking the servers of `urls`, and the masters known since."""

    def __init__(self, urls: Sequence[str], at: Callable[[Address], str]) -> None:
        """`at` returns the URL of a master, which differs only in its address."""
        self._at = at
        self._seeds = [_Master(connect_redis(url), self) for url in urls]
        self._masters: dict[Address, _Master] = {}
        self._owners: list[_Master | None] = [None] * SLOTS
        self._finding: asyncio.Task[None] | None = None
        self._found_at = 0.0

    async def owners(self, sites: Sequence[str]) -> Sequence[Server | None]:
        """See `Servers`."""
        if not self._masters:
            await self._find_masters()
        owners = [self._owners[key_slot(site.encode())] for site in sites]
        if None in owners:
            self.look_again()
        return owners

    async def all(self) -> Collection[Server]:
        """See `Servers`."""
        if not self._masters:
            await self._find_masters()
        if None in self._owners:
            self.look_again()
            raise HoldsUnreachable
        return await self.known()

    async def known(self) -> Collection[Server]:
        """See `Servers`."""
        if not self._masters:
            await self._find_masters()
        return {owner for owner in self._owners if owner}

    async def aclose(self) -> None:
        """Close all connections."""
        if self._finding:
            self._finding.cancel()
        for server in self._servers():
            await server.aclose()

    def moved(self, redirection: MovedError) -> Server:
        """See `Servers`."""
        master = self._owners[redirection.slot_id] = self._master_at(redirection.node_addr)
        return master

    def look_again(self) -> None:
        """Start a search in the background for the new masters, unless the last search was just now."""
        if time.monotonic() - self._found_at > LOOK_AGAIN_SECONDS:
            self._start_finding()

    async def _find_masters(self) -> None:
        await asyncio.shield(self._start_finding())

    def _start_finding(self) -> asyncio.Task[None]:
        if self._finding is None or self._finding.done():
            self._finding = asyncio.create_task(self._ask_for_masters(), context=Context())
        return self._finding

    async def _ask_for_masters(self) -> None:
        """Ask all servers at once, and use the first answer."""
        questions = [asyncio.create_task(server.slots()) for server in self._servers()]
        for question in asyncio.as_completed(questions):
            if found := await question:
                self._owners = [None] * SLOTS
                for first, last, address in found:
                    self._owners[first : last + 1] = [self._master_at(address)] * (last + 1 - first)
                break
        self._found_at = time.monotonic()
        for question in questions:
            question.cancel()

    def _servers(self) -> "list[_Master]":
        return [*self._seeds, *self._masters.values()]

    def _master_at(self, address: Address) -> "_Master":
        if address not in self._masters:
            self._masters[address] = _Master(connect_redis(self._at(address)), self)
        return self._masters[address]


class _Master(Server):
    """One master. While it is lost, other servers are asked for the owner of its slots."""

    def __init__(self, redis: Redis, cluster: Cluster) -> None:
        super().__init__(redis)
        self._cluster = cluster

    async def slots(self) -> list[tuple[int, int, Address]]:
        """Return its (first slot, last slot, master) rows; empty if it does not answer."""
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
