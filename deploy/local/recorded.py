"""Recognise and signal a recorded process, which another supervisor may have started."""

import contextlib
import signal
from dataclasses import dataclass
from typing import Self

import psutil

# The system's start time has a precision of some hundredths of a second, and a clock step may change it.
SAME_START_SECONDS = 1.0
NEVER = -1.0


@dataclass(frozen=True)
class RecordedProcess:
    """A process identified by its id and start time, because the system may reuse an id."""

    kind: str
    pid: int
    created: float
    http_port: int | None = None

    @classmethod
    def now(cls, kind: str, pid: int, http_port: int | None = None) -> Self:
        """Record the process that has this id now."""
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
        """Send a signal, unless the process has ended."""
        if self.running:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(self.pid).send_signal(number)
