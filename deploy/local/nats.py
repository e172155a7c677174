"""Run nats-server."""

from deploy.local.embedded import EmbeddedServer
from deploy.local.ports import LOOPBACK, answers


class Nats(EmbeddedServer):
    """nats-server. It stores no data; `data_dir` has its log."""

    kind = "nats"
    binary = "nats-server"

    @property
    def url(self) -> str:
        return f"nats://{LOOPBACK}:{self.port}"

    def options(self, port: int) -> list[str]:
        return ["-a", LOOPBACK, "-p", str(port)]

    def look(self, port: int) -> str | None:
        return None if answers(port, b"", b"INFO") else "does not answer yet"
