"""Start and stop embedded servers: real ones, on free ports of the loopback address. Tests use them too.

with Mongod(folder) as mongod:
    connect(mongod.url)
    mongod.kill()       # as a crash would
    mongod.start()      # the same port, the same data
"""

import signal
import time
from abc import abstractmethod
from pathlib import Path
from typing import Self

from deploy.local.binaries import find_binary
from deploy.local.errors import StackError
from deploy.local.ports import free_port, require_unused
from deploy.local.process import POLL_SECONDS, Process, end

START_SECONDS = 60.0
STOP_SECONDS = 5.0
STARTS = 3


class EmbeddedServer(Process):
    """A server with its own data. After its first successful start it keeps its port."""

    binary: str

    def __init__(self, data_dir: Path, port: int | None = None, log_file: Path | None = None) -> None:
        super().__init__(self.kind, log_file or data_dir / f"{self.kind}.log")
        self.data_dir = data_dir
        self._given = port
        self._port = port

    @property
    def port(self) -> int:
        """The port that it listens on.

        Raises:
            RuntimeError: it was never up, so it has no port.
        """
        if self._port is None:
            raise RuntimeError(f"{self.name} was never up")
        return self._port

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL that clients connect to."""

    @abstractmethod
    def options(self, port: int) -> list[str]:
        """Return the command line after the binary."""

    def command(self) -> list[str]:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        if self._given:
            require_unused(self._given)
        # Another process may take a free port, so the port is final only after the first successful start.
        self._port = self._given or free_port()
        return [find_binary(self.binary), *self.options(self._port)]

    def problem(self) -> str | None:
        found = self.look(self.port) if self.running else "is not running"
        if found is None:
            self._given = self._port
        return found

    @abstractmethod
    def look(self, port: int) -> str | None:
        """Return why the running server is not ready yet, or None."""

    def start(self, seconds: float = START_SECONDS) -> Self:
        """Start the server and wait until it serves.

        Raises:
            StackError: it does not start. The message has the reason and the path of its log.
        """
        ends = time.monotonic() + seconds
        for _ in range(STARTS):
            self.spawn()
            while self.running:
                if self.problem() is None:
                    return self
                if time.monotonic() > ends:
                    self.kill()
                    raise StackError(f"{self.name} is not up after {seconds:.0f} s (log: {self.log_file})")
                time.sleep(POLL_SECONDS)
        raise StackError(f"{self.name} does not start: {self.last_log_line()} (log: {self.log_file})")

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Stop the server gracefully, paused or not; kill it if it still runs after `seconds`."""
        end([self], seconds)

    def pause(self) -> None:
        """Pause the server: its port stays open, and it answers nothing."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        self.send(signal.SIGCONT)

    def restart(self) -> Self:
        """Stop and start the server on the same port and data."""
        self.stop()
        return self.start()

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
