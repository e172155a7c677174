"""Start, check and stop a process of the stack."""

import os
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from deploy.local.errors import StackError

ROOT = Path(__file__).parents[2]
POLL_SECONDS = 0.05
KILL_SECONDS = 2.0
OLD_LOG = ".log.old"
MOST_LOG_BYTES = 10 * 1024 * 1024


class Process(ABC):
    """A process whose output goes to a file. It may be started again after it ended."""

    kind: str
    http_port: int | None = None
    """The port at which it serves `/metrics`, if it has its own."""

    def __init__(self, name: str, log_file: Path) -> None:
        self.name = name
        self.log_file = log_file
        self.started_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._log_seen = 0

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command line; called at each start."""

    @abstractmethod
    def problem(self) -> str | None:
        """Return why the process is not ready yet, or None. It checks once and does not wait."""

    def environment(self) -> dict[str, str]:
        """Return the environment variables of the process."""
        return dict(os.environ)

    def spawn(self) -> None:
        """Start the process in its own session, so that a Ctrl-C in the terminal does not reach it.

        Raises:
            StackError: the system cannot run its binary, or write its files.
        """
        try:
            self._spawn(self.command())
        except OSError as error:
            raise StackError(f"{self.name}: cannot write its files: {error.strerror}") from None

    def _spawn(self, command: list[str]) -> None:
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as output:
            self._log_start = output.tell()
            try:
                self._process = self._execute(command, output)
            except OSError as error:
                raise StackError(f"{self.name}: cannot run {command[0]}: {error.strerror}") from None
        self.started_at = time.monotonic()

    def _execute(self, command: list[str], output: BinaryIO) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=self.environment(),
            cwd=ROOT,
            start_new_session=True,
        )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The most recently started process.

        Raises:
            RuntimeError: it was never started.
        """
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill the process at once, as a crash would."""
        self.send(signal.SIGKILL)
        self.process.wait()

    def exit_summary(self) -> str:
        """Describe how the process ended."""
        code = self.process.returncode
        return f"died with {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"

    def rotate_log(self) -> None:
        """Copy a full log over the old one and truncate it, as logrotate's `copytruncate` does.

        The process appends, so it continues at the beginning, and needs neither a signal nor this supervisor.
        Lines that it writes between the two steps are lost.
        """
        with suppress(OSError):
            if self.log_file.stat().st_size < MOST_LOG_BYTES:
                return
            old = self.log_file.with_suffix(OLD_LOG)
            try:
                shutil.copyfile(self.log_file, old)
            except OSError:  # the disk is full: new lines matter more than old ones
                old.unlink(missing_ok=True)
            os.truncate(self.log_file, 0)
            self._log_start = self._log_seen = 0

    def last_log_line(self) -> str:
        """Return the last line, or the error, that the process wrote since its start."""
        with self.log_file.open("rb") as written:
            written.seek(self._log_start)
            lines = written.read().decode(errors="replace").strip().splitlines()
        return self.error_line(lines)

    def new_output(self) -> str:
        """Return the complete lines written since the last call, prefixed with the process's name."""
        if not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as written:
            written.seek(self._log_seen)
            whole, newline, _ = written.read().rpartition(b"\n")
        self._log_seen += len(whole) + len(newline)
        lines = whole.decode(errors="replace").splitlines()
        return "".join(f"{self.name} | {line}\n" for line in lines)

    def error_line(self, lines: list[str]) -> str:
        """Return the line that best explains why the process ended."""
        return lines[-1].strip() if lines else "it wrote nothing"


class Stoppable(Protocol):
    """A process that `end` can stop."""

    @property
    def running(self) -> bool: ...

    def send(self, number: signal.Signals) -> None: ...


StoppableT = TypeVar("StoppableT", bound=Stoppable)


def end(
    processes: Iterable[StoppableT], seconds: float, *, hurry: Callable[[], bool] = lambda: False
) -> list[StoppableT]:
    """Ask processes to stop; kill those that still run after `seconds`, or once `hurry` returns true.

    Returns:
        The processes that had to be killed.
    """
    left = [process for process in processes if process.running]
    for process in left:
        process.send(signal.SIGTERM)
        process.send(signal.SIGCONT)
    ends = time.monotonic() + seconds
    while left and time.monotonic() < ends and not hurry():
        time.sleep(POLL_SECONDS)
        left = [process for process in left if process.running]
    for process in left:
        process.send(signal.SIGKILL)
    ends = time.monotonic() + KILL_SECONDS
    while any(process.running for process in left) and time.monotonic() < ends:
        time.sleep(POLL_SECONDS)
    return left
