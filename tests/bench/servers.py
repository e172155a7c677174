"""MongoDB, Redis and NATS, embedded, which all sides use in turn."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pymongo import MongoClient
from redis import Redis as RedisClient

from deploy.local.mongod import Mongod
from deploy.local.nats import Nats
from deploy.local.redis import Redis
from tests.bench.cpu import Pids


class LargeMongod(Mongod):
    """A mongod with a cache that holds the indexes of millions of appointments, as in production."""

    cache_gb = 4


@dataclass(frozen=True)
class Servers:
    """One server of each kind, with its process id."""

    mongod: LargeMongod
    redis: Redis
    nats: Nats

    @classmethod
    @contextmanager
    def started(cls) -> Iterator["Servers"]:
        """Start new servers, with their data in a folder that is removed afterwards."""
        with ExitStack() as running:
            folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            yield cls(
                running.enter_context(LargeMongod(folder / "mongod")),
                running.enter_context(Redis(folder / "redis")),
                running.enter_context(Nats(folder / "nats")),
            )

    def mongo_uri(self, database: str) -> str:
        return urlunsplit(urlsplit(self.mongod.url)._replace(path=f"/{database}"))

    def clear(self, database: str | None) -> None:
        """Drop a database, and all holds."""
        if database:
            with MongoClient[dict[str, object]](self.mongod.url) as client:
                client.drop_database(database)
        with RedisClient.from_url(self.redis.url) as redis:
            redis.flushall()

    @property
    def pids(self) -> Pids:
        return {server.kind: [server.pid] for server in (self.mongod, self.redis, self.nats)}
