"""A deployment whose NATS has accounts, its direct clients, and connections as each of its users."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import nats
from nats.aio.client import Client

from deploy.nats_access.files import access_file
from shared.contract.caller import Scope
from shared.process.api_keys import ApiKey, Sites
from shared.process.nats_access import read_access
from shared.process.nats_wire import round_trip
from tests.servers import Servers
from tests.stack import Stack

RELAY, WEBHOOKS = "booking_worker.events", "gateway.webhooks"
ALL = frozenset(Scope) - {Scope.ADMIN}
FULL, SMALL, OTHER, READER = "full-client", "small-client", "other-client", "event-reader"
"""All permissions; holds in clinic-1; all permissions, too; events of clinic-1."""


def client_key(id: str, scopes: frozenset[Scope] = ALL, sites: Sites = "all") -> ApiKey:
    """Return a key of a direct client, which has no token for HTTP."""
    return ApiKey(
        id=id, name=id, scopes=scopes, sites=sites, created=datetime(2026, 1, 1, tzinfo=UTC), nats=True
    )


KEYS = (
    client_key(FULL),
    client_key(SMALL, frozenset({Scope.HOLD}), frozenset({"clinic-1"})),
    client_key(OTHER),
    client_key(READER, frozenset({Scope.EVENTS}), frozenset({"clinic-1"})),
)


@contextmanager
def secure_stack(servers: Servers, **env: str) -> Iterator[Stack]:
    """All services: a gateway, two booking workers, a hold worker, a relay, and a process for webhooks."""
    with servers.new_secure_stack(KEYS, **env) as stack:
        for module in (RELAY, WEBHOOKS):
            stack.start(module)
        yield stack.up()


class Denials:
    """The actions that NATS has denied to a connection, as its `error_cb` received them."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def take(self, error: Exception) -> None:
        self.texts.append(str(error).lower())

    def of(self, subject: str, queue: str = "") -> bool:
        """Return whether an action on a subject, with a queue group if one is named, was denied."""
        wanted = f'"{subject}" using queue "{queue}"' if queue else f'"{subject}"'
        return any("permissions violation" in text and wanted.lower() in text for text in self.texts)


@asynccontextmanager
async def connected_with(stack: Stack, file: Path) -> AsyncIterator[tuple[Client, Denials]]:
    """Connect as the user of an access file, with nats-py alone."""
    denials = Denials()
    connection = await nats.connect(
        stack.env["NATS_URL"], error_cb=denials.take, allow_reconnect=False, **read_access(file).connect
    )
    try:
        yield connection, denials
    finally:
        await connection.close()


@asynccontextmanager
async def connected_as(stack: Stack, user: str) -> AsyncIterator[tuple[Client, Denials]]:
    """Connect as a user of the services, or as a direct client."""
    assert stack.access is not None
    own = access_file(stack.access, user)
    file = own if own.exists() else stack.client_access(user)
    assert file is not None
    async with connected_with(stack, file) as connection:
        yield connection


async def settled(connection: Client) -> None:
    """Wait until NATS has read all that was sent, and its denials have arrived."""
    await round_trip(connection)
    await asyncio.sleep(0)
