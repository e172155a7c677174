"""nats-server, embedded."""

from pathlib import Path

from deploy.local.embedded import EmbeddedServer
from deploy.local.ports import LOOPBACK, answers


class Nats(EmbeddedServer):
    """nats-server with JetStream, which keeps the events in `data_dir`.

    `access`: the configuration of its users, which `deploy.nats_access` writes; without it, anybody may do
    everything.
    """

    kind = "nats"
    binary = "nats-server"

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        log_file: Path | None = None,
        *,
        access: Path | None = None,
    ) -> None:
        super().__init__(data_dir, port, log_file)
        self._access = access

    @property
    def url(self) -> str:
        return f"nats://{LOOPBACK}:{self.port}"

    def options(self, port: int) -> list[str]:
        access = ["-c", str(self._access)] if self._access else []
        storage = ["-js", "-sd", str(self.data_dir / "jetstream")]
        return [*access, "-a", LOOPBACK, "-p", str(port), *storage]

    def look(self, port: int) -> str | None:
        return None if answers(port, b"", b"INFO") else "does not answer yet"
