"""The cluster of a run: three mongods, three nats-servers, a Valkey, services, and the proxy between them.

Each mongod advertises the port of its gate, so members also reach each other through the proxy, which
identifies a member by its process. That makes any partition of the set possible.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Self

from deploy.local.embedded import EmbeddedServer
from deploy.local.mongod import SET_NAME
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.secure import secure_nats
from deploy.nats_access.files import access_file
from deploy.nats_access.permissions import OPERATOR
from shared.process.nats_access import read_access
from tests.proof.faults.event_stream import forget_events
from tests.proof.faults.nodes import MongoNode, NatsNode, forget_bookings, form_set
from tests.proof.faults.places import GRID_MINUTES
from tests.proof.faults.port_owners import ports_of
from tests.proof.faults.proxy import Proxy
from tests.proof.faults.redis_node import RedisNode
from tests.proof.faults.services import Services
from tests.stack import Stack, wait_until

NODES = 3
COUNTS = {"gateway": 2, "booking_worker": 3, "hold_worker": 2, "relay": 2, "webhooks": 2}
"""The number of processes of each service."""
HOLD_SECONDS, HOLD_MAX_SECONDS = 4, 8
DATABASE = "faults"


class Cluster:
    """All servers and services of a run, in a temporary directory. `secure`: NATS has accounts."""

    def __init__(self, *, without: str = "", secure: bool = False) -> None:
        self._without = without
        self._closing = contextlib.ExitStack()
        self.folder = folder = Path(
            self._closing.enter_context(tempfile.TemporaryDirectory(prefix="faults-"))
        )
        routes = [free_port() for _ in range(NODES)]
        self.mongods = {f"mongo-{n}": MongoNode(folder / f"mongo-{n}") for n in range(1, NODES + 1)}
        access = secure_nats(folder / "access") if secure else None
        nats_conf = access.configuration if access else None
        self.nats = {
            f"nats-{n + 1}": NatsNode(folder / f"nats-{n + 1}", routes, n, nats_conf) for n in range(NODES)
        }
        self.redis = RedisNode(folder / "redis")
        self.proxy = Proxy(self._ports_of)
        self.services = Services(Stack({}, access=access.folder if access else None), without)
        self.operator = read_access(access_file(access.folder, OPERATOR)) if access else None
        """The user for streams, if NATS has accounts."""
        self.client = read_access(access.client_file) if access else None
        """The user for commands."""

    @property
    def servers(self) -> dict[str, EmbeddedServer]:
        return {**self.mongods, **self.nats, "redis": self.redis}

    @property
    def mongo_uri(self) -> str:
        return self.services.stack.env["MONGO_URI"]

    @property
    def nats_urls(self) -> list[str]:
        return self.services.stack.env["NATS_URL"].split(",")

    async def primary(self) -> str:
        """Return the name of a member that considers itself primary; empty if no member does."""
        for name, node in self.mongods.items():
            if node.running and await asyncio.to_thread(node.is_primary):
                return name
        return ""

    async def __aenter__(self) -> Self:
        try:
            await self._up()
        except BaseException:
            await self._down()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._down()

    async def _up(self) -> None:
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in self.servers.values()))
        gates = {name: await self.proxy.listen(name, server.port) for name, server in self.servers.items()}
        members = ",".join(f"{LOOPBACK}:{gates[name]}" for name in self.mongods)
        self.services.stack.env |= {
            "MONGO_URI": f"mongodb://{members}/{DATABASE}?replicaSet={SET_NAME}",
            "NATS_URL": ",".join(f"nats://{LOOPBACK}:{gates[name]}" for name in self.nats),
            "REDIS_URL": f"redis://{LOOPBACK}:{gates['redis']}",
            "SOFT_HOLD_SECONDS": str(HOLD_SECONDS),
            "HOLD_MAX_SECONDS": str(HOLD_MAX_SECONDS),
            "SLOT_MINUTES": str(GRID_MINUTES),
            "EVENTS_REPLICAS": str(NODES),
            "WEBHOOKS_ALLOW_PRIVATE": "true",
            "WEBHOOKS_TIMEOUT_SECONDS": "3",
            "WEBHOOKS_FIRST_RETRY_SECONDS": "0.1",
        }
        await asyncio.to_thread(form_set, self.mongods["mongo-1"], [gates[name] for name in self.mongods])
        await asyncio.to_thread(self._wait_for_primary)
        await self._start(
            f"{module}-{number}" for module, count in COUNTS.items() for number in range(1, count + 1)
        )
        await self.wait_ready()

    async def start_over(self, without: str = "") -> None:
        """Drop all bookings, events and holds, and start new workers without the named safeguards."""
        names = self.services.to_replace(without)
        for name in names:
            await asyncio.to_thread(self.services.kill, name)
        await asyncio.to_thread(forget_bookings, self.mongo_uri)
        await forget_events(self.nats_urls, self.operator)
        await asyncio.to_thread(self.redis.forget)
        self.services.without = without
        await self._start(names)
        await asyncio.to_thread(self.services.stack.wait_serving)
        await self.wait_ready()

    async def _start(self, names: Iterable[str]) -> None:
        """Start services at once, in threads: meanwhile the proxy must go on."""
        await asyncio.gather(*(asyncio.to_thread(self.services.start, name) for name in names))

    async def wait_ready(self) -> None:
        """Wait until every gateway is ready."""
        await asyncio.to_thread(self.services.wait_ready)

    def _wait_for_primary(self) -> None:
        nodes = self.mongods.values()
        wait_until(lambda: any(node.is_primary() for node in nodes), "the replica set has a primary")

    def _ports_of(self, names: Collection[str]) -> dict[int, str]:
        servers = {name: server.pid for name, server in self.servers.items() if server.running}
        return ports_of({**servers, **self.services.pids()}, names)

    async def _down(self) -> None:
        try:
            await asyncio.to_thread(self.services.down)
        finally:
            running = [server for server in self.servers.values() if server.running]
            await asyncio.gather(*(asyncio.to_thread(server.kill) for server in running))
            await self.proxy.close()
            self._closing.close()
