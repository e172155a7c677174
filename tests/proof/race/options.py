"""What `python -m tests.proof.race` proves, and against which deployment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.proof.faults.history import Via

DEFAULT_URL = "http://127.0.0.1:3000"
DEFAULT_NATS = "nats://localhost:4222"


@dataclass(frozen=True, slots=True)
class Options:
    url: str = DEFAULT_URL
    nats: str = DEFAULT_NATS
    mongo: str | None = None
    access: str = ""
    """The access file of a direct client, if NATS has accounts."""
    requests: int = 10
    slots: int = 1
    resources: int = 1
    via: Literal["http", "nats", "both"] = "http"
    holds: bool = False
    json: Path | None = None
    timeout: float = 15
    check: bool = False

    @property
    def transports(self) -> tuple[Via, ...]:
        return ("http", "nats") if self.via == "both" else (self.via,)

    @property
    def contenders(self) -> int:
        """The number of requests that race for one slot."""
        return self.requests * (2 if self.holds else 1)
