"""MongoDB and Redis as compose runs them: with passwords, and with the users of `deploy`."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from deploy import passwords
from deploy.initiate import initiate_as_named
from deploy.local.mongod import Mongod
from deploy.local.ports import LOOPBACK, answers
from deploy.local.redis import Redis


class GuardedMongod(Mongod):
    """A mongod that demands a password. The test initiates it."""

    def options(self, port: int) -> list[str]:
        key = self.data_dir / "keyfile"
        key.write_text("c2xvdGtlZXBlcg" * 8)
        key.chmod(stat.S_IRUSR)
        return [*super().options(port), "--keyFile", str(key)]

    def look(self, port: int) -> str | None:
        try:
            with MongoClient[dict[str, Any]](
                LOOPBACK, port, directConnection=True, serverSelectionTimeoutMS=500
            ) as client:
                client.admin.command("hello")
                return None
        except PyMongoError:
            return "does not answer yet"


class GuardedRedis(Redis):
    """A Redis with a file of users."""

    def __init__(self, data_dir: Path, users: Path) -> None:
        super().__init__(data_dir)
        self._users = users

    def options(self, port: int) -> list[str]:
        return [*super().options(port), "--aclfile", str(self._users)]

    def look(self, port: int) -> str | None:
        return None if answers(port, b"PING\r\n", b"-NOAUTH") else "does not answer yet"


@dataclass(frozen=True)
class Guarded:
    """The two servers, and the folder of their passwords."""

    mongod: GuardedMongod
    redis: GuardedRedis
    secrets: Path

    def mongo_uri(self, user: str) -> str:
        uri = (self.secrets / f"mongo_uri_{user}").read_text()
        return uri.replace("@mongo:27017", f"@{LOOPBACK}:{self.mongod.port}")

    def redis_url(self, user: str) -> str:
        url = (self.secrets / f"redis_url_{user}").read_text()
        return url.replace("@redis:6379", f"@{LOOPBACK}:{self.redis.port}")

    def env(self, user: str, redis_user: str = "") -> dict[str, str]:
        """Return the settings of a process, with its passwords in files."""
        folder = self.secrets.parent
        files = {"MONGO_URI": self.mongo_uri(user)}
        if redis_user:
            files["REDIS_URL"] = self.redis_url(redis_user)
        for variable, value in files.items():
            (folder / f"{user}_{variable}").write_text(value + "\n")
        return {f"{variable}_FILE": str(folder / f"{user}_{variable}") for variable in files}

    def initiate(self) -> None:
        """Initiate the set and write the users, as compose does; again, after a change of passwords."""
        initiate_as_named(self.mongo_uri("admin"), users=self.secrets)


@contextmanager
def guarded_servers(folder: Path) -> Iterator[Guarded]:
    """Start both servers with new passwords."""
    secrets = folder / "secrets"
    passwords.make(secrets)
    with (
        GuardedMongod(folder / "mongod") as mongod,
        GuardedRedis(folder / "redis", secrets / "redis_users.acl") as redis,
    ):
        guarded = Guarded(mongod, redis, secrets)
        guarded.initiate()
        yield guarded
