"""Real servers for the tests: given by URL, in containers if Docker has their images, else embedded.

If `MONGO_URI`, `REDIS_URL` and `NATS_URL` are all set, those are used. `TEST_SERVERS=docker|embedded` forces
containers or embedded servers.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from deploy.local.embedded import EmbeddedServer
from deploy.local.mongod import Mongod
from deploy.local.nats import Nats
from deploy.local.redis import Redis
from deploy.nats_access.files import CONFIGURATION, write_access
from shared.process.api_keys import ApiKey, write_keys
from tests.containers import MongoContainer, NatsContainer, RedisContainer, what_is_missing
from tests.stack import Stack

VARIABLES = ("MONGO_URI", "REDIS_URL", "NATS_URL")


class Server(Protocol):
    """A server that a test may break."""

    @property
    def url(self) -> str: ...
    def start(self) -> object: ...
    def stop(self) -> None: ...


class Servers:
    """Shared servers, and new ones for tests that break servers or must not share subjects."""

    def __init__(self, kind: str, resources: ExitStack) -> None:
        self._kind = kind
        self._resources = resources
        self._given = {name: os.environ[name] for name in VARIABLES} if kind == "given" else {}
        self._mongo_uri = self._given.get("MONGO_URI") or self._start(Mongod, MongoContainer, resources).url
        self._redis_url = self._given.get("REDIS_URL") or self.new_redis().url

    def new_stack(self, **env: str) -> Stack:
        """Make a deployment without processes, with its own NATS server and database."""
        closing = ExitStack()
        parts = urlsplit(self._mongo_uri)
        uri = urlunsplit(parts._replace(path=f"/test_{uuid4().hex[:12]}"))
        addresses = {"REDIS_URL": self._redis_url, **self._given, "MONGO_URI": uri}
        if not self._given and "NATS_URL" not in env:
            addresses["NATS_URL"] = self._start(Nats, NatsContainer, closing).url
        return Stack({**addresses, **env}, closing)

    def new_secure_stack(self, keys: Iterable[ApiKey] = (), **env: str) -> Stack:
        """Make a deployment without processes, whose NATS has accounts: the services, and `keys`."""
        stack = self.new_stack(NATS_URL="nats://127.0.0.1:1", **env)
        folder = Path(stack.closing.enter_context(tempfile.TemporaryDirectory()))
        stack.access, keys = folder / "access", tuple(keys)
        write_access(stack.access, keys)
        write_keys(stack.keys_file, keys)
        server = Nats(folder / "nats", access=stack.access / CONFIGURATION).start()
        stack.closing.callback(server.stop)
        stack.env["NATS_URL"] = server.url
        return stack

    def new_redis(self) -> Server:
        """Start a Redis that a test may stop."""
        return self._start(Redis, RedisContainer, self._resources)

    def _start(self, embedded: type[EmbeddedServer], container: type[Server], resources: ExitStack) -> Server:
        server: Server
        if self._kind == "docker":
            server = container()
        else:
            server = embedded(Path(resources.enter_context(tempfile.TemporaryDirectory())))
        server.start()
        resources.callback(server.stop)
        return server


class NoServers(Exception):
    """The requested servers are not available, for the reason in its one line."""


@cache
def choose_kind() -> tuple[str, str]:
    """Return `given`, `docker` or `embedded`, and why; cached, for a Docker engine answers slowly.

    Raises:
        NoServers: The servers that `TEST_SERVERS` forces are not available.
    """
    forced = os.environ.get("TEST_SERVERS")
    if forced not in {None, "", "docker", "embedded"}:
        raise NoServers("TEST_SERVERS must be docker or embedded")
    if forced == "embedded":
        return forced, "forced by TEST_SERVERS"
    if not forced and all(os.environ.get(name) for name in VARIABLES):
        return "given", f"{', '.join(VARIABLES)} are set"
    missing = what_is_missing()
    if forced and missing:
        raise NoServers(f"TEST_SERVERS=docker: {missing}")
    return ("embedded", missing) if missing else ("docker", "Docker has their images, or can get them")


@contextmanager
def choose_servers() -> Iterator[Servers]:
    """Start the servers of this run, and stop them at the end."""
    kind, _ = choose_kind()
    with ExitStack() as resources:
        yield Servers(kind, resources)
