"""nats-server, embedded."""

from deploy.local.embedded import EmbeddedServer
from deploy.local.ports import LOOPBACK, answers


class Nats(EmbeddedServer):
    """nats-server with JetStream, which keeps the events in `data_dir`."""

    kind = "nats"
    binary = "nats-server"

    @property
    def url(self) -> str:
        return f"nats://{LOOPBACK}:{self.port}"

    def options(self, port: int) -> list[str]:
        return ["-a", LOOPBACK, "-p", str(port), "-js", "-sd", str(self.data_dir / "jetstream")]

    def look(self, port: int) -> str | None:
        return None if answers(port, b"", b"INFO") else "does not answer yet"
