"""A TCP proxy that breaks connections: it cuts, delays or stalls them, or drops one direction.

A gate is a listener in front of one server. A rule names gates and processes, and breaks the connections
between them, so that one link of a cluster breaks while all others work.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import Enum, auto

from deploy.local.ports import LOOPBACK

CHUNK = 65536
MOST_CHUNKS = 64
"""The most chunks in flight in one direction; the sender keeps the rest."""
Owners = Callable[[Collection[str]], dict[int, str]]
"""Map the local ports of the named processes' connections to the names of the processes."""


class Way(Enum):
    """What happens to the bytes of one direction."""

    PASS = auto()
    STALL = auto()
    """Kept until the rule is lifted, then delivered: packets that arrive late."""
    DROP = auto()
    """Lost; the connection closes when the rule is lifted."""


@dataclass(frozen=True, eq=False)
class LinkRule:
    """How links break: `up` is towards the server, `down` from it. `sources` None: all clients."""

    gates: frozenset[str]
    sources: frozenset[str] | None = None
    up: Way = Way.PASS
    down: Way = Way.PASS
    delay: float = 0.0
    cut: bool = False


class Proxy:
    """Gates, the connections through them, and the rules in force."""

    def __init__(self, owners: Owners) -> None:
        self._owners = owners
        self._rules: list[LinkRule] = []
        self._links: set[_Link] = set()
        self._servers: list[asyncio.Server] = []

    async def listen(self, gate: str, upstream: int) -> int:
        """Open a gate in front of a loopback port, and return the gate's port."""

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(gate, upstream, reader, writer)

        server = await asyncio.start_server(accept, LOOPBACK, 0)
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    def impose(self, *rules: LinkRule) -> None:
        """Break links as the rules say, from now on."""
        self._rules += rules
        self._apply(self._links)

    def lift(self, *rules: LinkRule) -> None:
        """Heal the links that the rules broke."""
        self._rules = [rule for rule in self._rules if rule not in rules]
        for link in list(self._links):
            if any(Way.DROP in (rule.up, rule.down) for rule in link.rules if rule in rules):
                link.abort()
        self._apply(self._links)

    async def close(self) -> None:
        """Close the gates and the connections through them."""
        self._rules.clear()
        for server in self._servers:
            server.close()
        for link in list(self._links):
            link.abort()
        self._apply(self._links)
        await asyncio.sleep(0)

    def _apply(self, links: Iterable["_Link"]) -> None:
        concerned = [(link, rule) for link in links for rule in self._rules if link.gate in rule.gates]
        names = frozenset[str]().union(*(rule.sources or () for _, rule in concerned))
        owner = self._owners(names) if names else {}
        for link in list(links):
            own = [rule for other, rule in concerned if other is link]
            link.set_rules([r for r in own if r.sources is None or owner.get(link.source) in r.sources])

    async def _serve(
        self, gate: str, upstream: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            link = _Link(gate, writer)
            self._links.add(link)
            try:
                self._apply([link])
                if not writer.transport.is_closing():
                    await link.run(reader, *await asyncio.open_connection(LOOPBACK, upstream))
            finally:
                self._links.discard(link)
                link.abort()


class _Link:
    """One connection; `source` is the client's local port."""

    def __init__(self, gate: str, client: asyncio.StreamWriter) -> None:
        self.gate = gate
        self.source: int = client.get_extra_info("peername")[1]
        self.rules: list[LinkRule] = []
        self._changed = asyncio.Event()
        self._ends = [client]

    def set_rules(self, rules: list[LinkRule]) -> None:
        self.rules = rules
        self._changed.set()
        if any(rule.cut for rule in rules):
            self.abort()

    def abort(self) -> None:
        for end in self._ends:
            end.transport.abort()

    async def run(
        self, client: asyncio.StreamReader, server: asyncio.StreamReader, server_writer: asyncio.StreamWriter
    ) -> None:
        """Carry bytes both ways until one side ends."""
        client_writer = self._ends[0]
        self._ends.append(server_writer)
        pumps = [
            asyncio.create_task(self._pump(client, server_writer, lambda rule: rule.up)),
            asyncio.create_task(self._pump(server, client_writer, lambda rule: rule.down)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: Callable[[LinkRule], Way]
    ) -> None:
        """Carry one direction. A delay is latency: many chunks are in flight at once."""
        arrived: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MOST_CHUNKS)
        reading = asyncio.create_task(self._read(source, arrived))
        try:
            await self._deliver(arrived, sink, way)
        finally:
            reading.cancel()

    async def _read(self, source: asyncio.StreamReader, arrived: asyncio.Queue[tuple[float, bytes]]) -> None:
        """Queue each chunk with the time when it is due; an empty chunk ends the direction."""
        now = asyncio.get_running_loop().time
        data = b"more"
        while data:
            try:
                data = await source.read(CHUNK)
            except OSError:
                data = b""
            delay = max((rule.delay for rule in self.rules), default=0)
            await arrived.put((now() + delay, data))

    async def _deliver(
        self,
        arrived: asyncio.Queue[tuple[float, bytes]],
        sink: asyncio.StreamWriter,
        way: Callable[[LinkRule], Way],
    ) -> None:
        now = asyncio.get_running_loop().time
        while (chunk := await arrived.get())[1]:
            due, data = chunk
            if (early := due - now()) > 0:
                await asyncio.sleep(early)
            while Way.STALL in (ways := {way(rule) for rule in self.rules}):
                self._changed.clear()
                await self._changed.wait()
            if Way.DROP not in ways:
                sink.write(data)
                await sink.drain()
        if sink.transport.get_write_buffer_size():
            await asyncio.sleep(0.01)
