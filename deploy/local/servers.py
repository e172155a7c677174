"""The servers of the stack, embedded: real ones, on loopback, on ports chosen free. Tests use them too.

with Mongod(folder) as mongod:
    connect(mongod.url)
    mongod.kill()       # as a crash would
    mongod.start()      # the same port, the same data
"""

from deploy.local.mongod import Mongod
from deploy.local.ports import LOOPBACK, answers
from deploy.local.server import Server

__all__ = ["Mongod", "Nats", "Redis", "Server"]


class Redis(Server):
    """Redis or Valkey. Holds survive its restart; it never evicts one."""

    kind = "redis"
    binary = "redis-server"

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}"

    def options(self, port: int) -> list[str]:
        settings = {
            "bind": LOOPBACK,
            "port": str(port),
            "dir": str(self.data_dir),
            "appendonly": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [word for name, value in settings.items() for word in (f"--{name}", value)]

    def look(self, port: int) -> str | None:
        return None if answers(port, b"PING\r\n", b"+PONG") else "does not answer yet"


class Nats(Server):
    """nats-server. It keeps no data; `data_dir` has its log."""

    kind = "nats"
    binary = "nats-server"

    @property
    def url(self) -> str:
        return f"nats://{LOOPBACK}:{self.port}"

    def options(self, port: int) -> list[str]:
        return ["-a", LOOPBACK, "-p", str(port)]

    def look(self, port: int) -> str | None:
        return None if answers(port, b"", b"INFO") else "does not answer yet"
