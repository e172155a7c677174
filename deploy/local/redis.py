"""Run Redis or Valkey."""

from deploy.local.embedded import EmbeddedServer
from deploy.local.ports import LOOPBACK, answers

# A hold takes some 400 bytes. A full Redis refuses new holds, and leaves the machine the rest of its memory.
MOST_MEMORY = "256mb"


class Redis(EmbeddedServer):
    """Redis with an append-only file: holds survive a restart, and none is evicted."""

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
            "maxmemory": MOST_MEMORY,
            "maxmemory-policy": "noeviction",
        }
        return [word for name, value in settings.items() for word in (f"--{name}", value)]

    def look(self, port: int) -> str | None:
        return None if answers(port, b"PING\r\n", b"+PONG") else "does not answer yet"
