"""A service that logs into a pipe, whose reader may stop or close."""

import fcntl
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from tests.stack import Service

SMALLEST_PIPE = 4096
POLL_SECONDS = 0.02


class PipedService(Service):
    """A thread reads a small pipe and writes the log file."""

    forks = False

    def __init__(self, kind: str, log_file: Path, env: Mapping[str, str], without: str = "") -> None:
        super().__init__(kind, log_file, env, without)
        self._pipe = log_file.with_suffix(".pipe")
        self._closing, self._stopped = threading.Event(), threading.Event()
        os.mkfifo(self._pipe)
        end = os.open(self._pipe, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, SMALLEST_PIPE)
        self._reader = threading.Thread(target=self._read, args=(end,), daemon=True)
        self._reader.start()

    def command(self) -> list[str]:
        return ["sh", "-c", 'exec "$@" >"$0" 2>&1', str(self._pipe), *super().command()]

    def stop_reading(self) -> None:
        """Let the pipe fill up."""
        self._stopped.set()

    def close_pipe(self) -> None:
        """Close the reading end, so that a write fails with EPIPE."""
        self._closing.set()
        self._reader.join()

    def _read(self, end: int) -> None:
        with self.log_file.open("ab") as log:
            while not self._closing.wait(POLL_SECONDS):
                if self._stopped.is_set():
                    continue
                try:
                    log.write(os.read(end, SMALLEST_PIPE))
                except BlockingIOError:
                    continue
                log.flush()
        os.close(end)
