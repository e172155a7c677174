"""A local stack, run as a user runs it."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from deploy.local.ports import free_port
from deploy.local.process import KILL_SECONDS
from deploy.local.supervisor import stop_order
from shared.process.settings import NatsSettings
from tests.stack import wait_until

ADDRESSES = {"MONGO_URI", "REDIS_URL", "NATS_URL"}


STOP_SECONDS = sum(seconds for _, seconds in stop_order(NatsSettings().stop_seconds)) + KILL_SECONDS


class LocalStack:
    """A supervisor, run as a user runs it, on its own data directory."""

    def __init__(self, data: Path, **env: str) -> None:
        self.data = data
        self.port = int(env.get("PORT") or free_port())
        self.url = f"http://127.0.0.1:{self.port}"
        inherited = {name: value for name, value in os.environ.items() if name not in ADDRESSES}
        self.env = {
            **inherited,
            **{"BOOKING_WORKERS": "1", "HOLD_WORKERS": "1", "PORT": str(self.port)},
            **{"XDG_STATE_HOME": str(state_home(data)), **env},
        }
        self._output = data.with_suffix(".out")
        self._command = [sys.executable, "-m", "deploy.local", "--data", str(data)]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                self._command, env=self.env, stdout=output, stderr=output, start_new_session=True
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def said(self, words: str) -> bool:
        return words in self.output

    def ready(self) -> "LocalStack":
        """Wait until its screen reports that it is ready."""
        wait_until(
            lambda: "is ready at" in self.output or self.process.poll() is not None, "the stack is ready"
        )
        assert self.process.poll() is None, self.output
        return self

    def refused(self) -> str:
        """Assert that it does not start; return its output without the lines about its progress."""
        assert self.process.wait(60) == 1
        assert self.processes() == []
        lines = self.output.splitlines()
        return "\n".join(line for line in lines if not line.startswith(("Starting ...", "Still waiting")))

    def addresses(self) -> dict[str, str]:
        """Return the variables that `env` prints."""
        command = [*self._command, "env"]
        printed = subprocess.run(command, env=self.env, capture_output=True, text=True, check=True).stdout
        return dict(word.split("=", 1) for word in shlex.split(printed))

    def processes(self) -> list[int]:
        """Return the ids of the processes of this stack that still run."""
        return [process.pid for process in running_on(self.data, self.port)]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Stop it; return how many seconds that took."""
        began = time.monotonic()
        self.process.send_signal(number)
        assert self.process.wait(STOP_SECONDS * 3) == 0, self.output
        return time.monotonic() - began


def shown(screen: str, title: str) -> str:
    """Return the line of a stack's screen with this title."""
    (line,) = (line for line in screen.splitlines() if line.startswith(f"  {title}: "))
    return line.partition(": ")[2].strip()


def state_home(data: Path) -> Path:
    """Return where a stack is registered: beside its data, not in the user's own state directory."""
    return data.with_suffix(".state")


def running_on(data: Path, port: int = 0) -> list[psutil.Process]:
    """Return the processes with the data directory or the gateway's port in their command or environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            marks = [*process.cmdline(), process.cwd(), f"{process.environ().get('PORT')}/"]
            belongs = any(str(data) in mark or mark == f"{port}/" for mark in marks)
            if belongs and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
