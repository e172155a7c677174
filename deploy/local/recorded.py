"""A process that was recorded, perhaps by another supervisor: recognised, and ended."""

import contextlib
import signal
from dataclasses import dataclass
from typing import Self

import psutil

# The system tells a start time to some hundredths of a second, and not always the same after a clock step.
SAME_START_SECONDS = 1.0
NEVER = -1.0


@dataclass(frozen=True)
class RecordedProcess:
    """A process by its id and its start time, as an id may be given to another process later."""

    kind: str
    pid: int
    created: float
    http_port: int | None = None

    @classmethod
    def now(cls, kind: str, pid: int, http_port: int | None = None) -> Self:
        """The process that has this id at the moment."""
        try:
            return cls(kind, pid, psutil.Process(pid).create_time(), http_port)
        except psutil.NoSuchProcess:
            return cls(kind, pid, NEVER, http_port)

    @property
    def running(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < SAME_START_SECONDS
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.running:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(self.pid).send_signal(number)
