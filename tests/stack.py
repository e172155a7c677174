"""A deployment for tests: real services as processes, on their own or on shared servers."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, Self

import httpx
import psutil

from deploy.local.ports import free_port
from deploy.local.process import Process, end
from deploy.nats_access.files import access_file, client_file
from deploy.nats_access.permissions import USERS
from tests.forking import can_fork, fork

READY_SECONDS = 60.0
STOP_SECONDS = 15.0


class Service(Process):
    """One process of a service, which runs `without` some safeguards of `tests.sabotage` or with all.

    With `forks`, it is forked if its environment permits that.
    """

    forks = False

    def __init__(self, kind: str, log_file: Path, env: Mapping[str, str], without: str = "") -> None:
        super().__init__(log_file.stem, log_file)
        self.kind = kind
        self._env = env
        self._without = without

    def command(self) -> list[str]:
        sabotage = ["tests.sabotage", self._without] if self._without else []
        return [sys.executable, "-m", *sabotage, self.kind]

    def _execute(self, command: list[str], output: BinaryIO) -> "subprocess.Popen[bytes]":
        environment = self.environment()
        if not (self.forks and can_fork(environment)):
            return super()._execute(command, output)
        if self._without:
            arguments = [self._without, self.kind]
            return fork("tests.sabotage", arguments, environment, output, imported="tests.sabotage")
        return fork(self.kind, [], environment, output, imported=f"{self.kind}.__main__")

    def environment(self) -> dict[str, str]:
        return {**os.environ, "LOG_FORMAT": "json", **self._env}

    def problem(self) -> str | None:
        return None if '"serving"' in self.log else "does not serve yet"

    @property
    def log(self) -> str:
        """Everything that it has printed."""
        return self.log_file.read_text()

    @property
    def cpu_seconds(self) -> float:
        """The CPU time that it has used, which does not depend on how busy the machine is."""
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system

    def wait(self) -> int:
        """Wait until it ends; return its exit code."""
        return self.process.wait(STOP_SECONDS)


@dataclass
class Stack:
    """Services that share a NATS server, a database and a Redis, and are started with `env`.

    `closing` is closed after the services have stopped. `access`: the access files of NATS, in a
    deployment with accounts.
    """

    env: dict[str, str]
    closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    services: list[Service] = field(default_factory=list)
    url: str = ""
    access: Path | None = None

    def start(
        self, kind: str, service_type: type[Service] = Service, /, *, without: str = "", **env: str
    ) -> Service:
        """Start a `gateway`, `booking_worker` or `hold_worker`, `without` some safeguards."""
        folder = self.closing.enter_context(tempfile.TemporaryDirectory())
        access = {"NATS_ACCESS_FILE": str(access_file(self.access, USERS[kind]))} if self.access else {}
        if self.access and kind != "gateway":  # a gateway with keys would ask its callers for one
            access["API_KEYS_FILE"] = str(self.keys_file)
        service = service_type(kind, Path(folder, f"{kind}.log"), {**self.env, **access, **env}, without)
        service.spawn()
        self.services.append(service)
        return service

    @property
    def keys_file(self) -> Path:
        """The API keys of the direct clients, in a deployment with accounts."""
        assert self.access is not None
        return self.access / "keys.json"

    def client_access(self, client: str) -> Path | None:
        """Return the access file of a direct client; None in a deployment without accounts."""
        return client_file(self.access, client) if self.access else None

    def start_gateway(self, *, without: str = "") -> Service:
        """Start a gateway, `without` some safeguards, and set `url` to its address."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        return self.start("gateway", without=without, PORT=str(port))

    def up(self, *, booking_workers: int = 2, hold_workers: int = 1) -> Self:
        """Start a gateway and workers, and wait until the gateway is ready."""
        self.start_gateway()
        for _ in range(booking_workers):
            self.start("booking_worker")
        for _ in range(hold_workers):
            self.start("hold_worker")
        self.wait_ready()
        return self

    def wait_ready(self) -> None:
        """Wait until every worker serves and the gateway is ready."""
        self.wait_serving()
        wait_until(lambda: httpx.get(f"{self.url}/readyz").status_code == 200, "the gateway is ready")

    def wait_serving(self) -> None:
        """Wait until every worker that was started logs that it serves."""
        for worker in self.workers():
            wait_until(partial(_has_started, worker), f"{worker.kind} serves")
            assert worker.running, worker.log

    def workers(self, kind: str = "") -> list[Service]:
        """Return the workers of one kind, or of both."""
        return [service for service in self.services if service.kind != "gateway" and kind in service.kind]

    def down(self) -> None:
        """Stop all services, and fail if one had to be killed."""
        killed = end(self.services, STOP_SECONDS)
        assert not killed, "\n".join(f"{service.kind} did not stop:\n{service.log}" for service in killed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.closing:
            self.down()


def _has_started(service: Service) -> bool:
    return service.problem() is None or not service.running


def wait_until(condition: Callable[[], bool], what: str, seconds: float = READY_SECONDS) -> None:
    """Poll a condition until it holds; a refused connection counts as false."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        with contextlib.suppress(httpx.TransportError):
            if condition():
                return
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s in vain until {what}")
