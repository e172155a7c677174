"""A deployment for tests: real services as processes, on servers of their own or shared ones."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Self

import httpx

from deploy.local.ports import free_port

READY_SECONDS = 60.0
STOP_SECONDS = 15.0


@dataclass
class Service:
    """One process of a service; `log` is all that it has printed."""

    module: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]

    @property
    def log(self) -> str:
        self.output.seek(0)
        return self.output.read().decode()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(STOP_SECONDS)


@dataclass
class Stack:
    """Services that share a NATS server, a database and a Redis; `env` is what they are started with.

    `closing` is closed after them.
    """

    env: dict[str, str]
    closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    services: list[Service] = field(default_factory=list)
    url: str = ""

    def start(self, module: str, *, without: str = "", **env: str) -> Service:
        """Start a `gateway`, `booking_worker` or `hold_worker`; `without` a safeguard of `tests.sabotage`."""
        command = ["-m", "tests.sabotage", without, module] if without else ["-m", module]
        output = self.closing.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        process = subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, "LOG_FORMAT": "json", **self.env, **env},
            cwd=Path(__file__).parents[1],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        service = Service(module, process, output)
        self.services.append(service)
        return service

    def start_gateway(self) -> Service:
        """Start a gateway, whose address becomes `url`."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        return self.start("gateway", PORT=str(port))

    def up(self, *, booking_workers: int = 2, hold_workers: int = 1) -> Self:
        """Start a gateway and workers, and wait until all are ready."""
        self.start_gateway()
        for _ in range(booking_workers):
            self.start("booking_worker")
        for _ in range(hold_workers):
            self.start("hold_worker")
        self.wait_ready()
        return self

    def wait_ready(self) -> None:
        """Wait until every worker serves and the gateway finds one of each kind."""
        self.wait_serving()
        wait_until(lambda: httpx.get(f"{self.url}/readyz").status_code == 200, "the gateway is ready")

    def wait_serving(self) -> None:
        """Wait until every worker that was started says that it serves."""
        for worker in self.workers():
            wait_until(partial(_has_started, worker), f"{worker.module} serves")
            assert worker.process.poll() is None, worker.log

    def workers(self, module: str = "") -> list[Service]:
        """The workers, of one kind or of both."""
        return [
            service for service in self.services if service.module != "gateway" and module in service.module
        ]

    def down(self) -> None:
        """Stop what still runs, and leave no process."""
        running = [service for service in self.services if service.process.poll() is None]
        for service in running:
            service.send(signal.SIGCONT)
            service.send(signal.SIGTERM)
        for service in running:
            try:
                service.wait()
            except subprocess.TimeoutExpired:
                service.kill()
                raise AssertionError(f"{service.module} did not stop:\n{service.log}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.closing:
            self.down()


def _has_started(service: Service) -> bool:
    return '"serving"' in service.log or service.process.poll() is not None


def wait_until(condition: Callable[[], bool], what: str, seconds: float = READY_SECONDS) -> None:
    """Poll a condition that no event announces; a connection that is refused counts as not yet."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        with contextlib.suppress(httpx.TransportError):
            if condition():
                return
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s in vain until {what}")
