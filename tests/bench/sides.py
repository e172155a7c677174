"""The compared sides: this service, another checkout of it, and two monoliths, on the same servers."""

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.embedded import START_SECONDS
from deploy.local.errors import StackError
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.process import POLL_SECONDS, ROOT, Process, end
from deploy.local.services import Service, Worker
from tests.bench.cpu import Pids
from tests.bench.servers import Servers
from tests.bench.tools import find_program, install_express
from tests.keys import KeyFile

OURS, KEYED, AGAINST, EXPRESS, FASTAPI = "ours", "keyed", "against", "express", "fastapi"
MONOLITHS = (EXPRESS, FASTAPI)
STOP_SECONDS = 15.0


class Running:
    """A running side: its addresses and its processes."""

    def __init__(
        self,
        servers: Servers,
        url: str,
        nats_url: str | None,
        processes: Sequence[Service],
        mongo_uri: str,
        *,
        checkout: Path,
        key: str = "",
    ) -> None:
        """`nats_url` is set if the side also takes commands over NATS; `mongo_uri` names its database.

        `key` is the API key that its callers need over HTTP.
        """
        self.key = key
        self.url, self.nats_url, self.mongo_uri, self.checkout = url, nats_url, mongo_uri, checkout
        pids: dict[str, list[int]] = {}
        for process in processes:
            pids.setdefault(process.kind, []).append(process.pid)
        self.pids: Pids = {**pids, **servers.pids}


@dataclass(frozen=True)
class Side:
    """A compared side; `checkout` is the source tree of a side of ours."""

    name: str
    checkout: Path = ROOT

    @property
    def is_monolith(self) -> bool:
        return self.name in MONOLITHS

    @contextmanager
    def running(
        self, servers: Servers, *, workers: int = 1, database: str | None = None
    ) -> Iterator[Running]:
        """Start the side on an empty database, or on `database`, which is then not dropped.

        Every kind of process runs once, except that booking workers run `workers` times.

        Raises:
            StackError: The side does not become ready; the message names the reason.
        """
        own = None if database else f"bench_{self.name}"
        env = {
            "HOST": LOOPBACK,
            "PORT": str(free_port()),
            "MONGO_URI": servers.mongo_uri(database or f"bench_{self.name}"),
            "REDIS_URL": servers.redis.url,
            "NATS_URL": servers.nats.url,
            "NODE_ENV": "production",
        }
        servers.clear(own)
        with tempfile.TemporaryDirectory(prefix="bench-logs-") as logs:
            key = _add_key(Path(logs), env) if self.name == KEYED else ""
            processes = self._processes(Path(logs), env, workers)
            try:
                for process in processes:
                    process.spawn()
                for process in reversed(processes):
                    wait_ready(process)
                nats_url = None if self.is_monolith else servers.nats.url
                url = f"http://{LOOPBACK}:{env['PORT']}"
                yield Running(
                    servers, url, nats_url, processes, env["MONGO_URI"], checkout=self.checkout, key=key
                )
            finally:
                end(processes, STOP_SECONDS)
        servers.clear(own)

    def _processes(self, logs: Path, env: dict[str, str], workers: int) -> list[Service]:
        if self.name == EXPRESS:
            command = [find_program("node"), str(install_express() / "server.js")]
            return [_Monolith(self.name, logs, env, command)]
        if self.name == FASTAPI:
            command = [sys.executable, "-m", "tests.bench.monoliths.fastapi_motor"]
            return [_Monolith(self.name, logs, env, command)]
        kinds = ["booking_worker"] * workers + ["hold_worker"]
        started: list[Service] = [
            OurWorker(self.checkout, kind, f"{kind}-{number}", logs / f"{kind}-{number}.log", env)
            for number, kind in enumerate(kinds)
        ]
        return [_OurGateway(self.checkout, "gateway", "gateway", logs / "gateway.log", env), *started]


def _add_key(folder: Path, env: dict[str, str]) -> str:
    """Let the gateway need a key, with all that a key may have, and return it."""
    keys = KeyFile(folder / "keys.json")
    env["API_KEYS_FILE"] = str(keys.path)
    return keys.new("book", "hold", "cancel", "move", "names", sites=["default", "clinic-1"])


class _Monolith(Service):
    def __init__(self, name: str, logs: Path, env: dict[str, str], command: list[str]) -> None:
        super().__init__(name, name, logs / f"{name}.log", env)
        self._command = command

    def command(self) -> list[str]:
        return self._command


class _OurGateway(Service):
    def __init__(self, checkout: Path, kind: str, name: str, log_file: Path, env: dict[str, str]) -> None:
        super().__init__(kind, name, log_file, env)
        self._checkout = checkout

    def command(self) -> list[str]:
        return ["env", "-C", str(self._checkout), *super().command()]


class OurWorker(_OurGateway, Worker):
    """A worker of a checkout, with a health port of its own."""


def wait_ready(process: Process) -> None:
    ends = time.monotonic() + START_SECONDS
    while problem := process.problem():
        if not process.running:
            raise StackError(f"{process.name} {process.exit_summary()}: {process.last_log_line()}")
        if time.monotonic() > ends:
            raise StackError(
                f"{process.name} {problem} after {START_SECONDS:.0f} s: {process.last_log_line()}"
            )
        time.sleep(POLL_SECONDS)


def sides_of(names: Sequence[str], against: Path | None) -> list[Side]:
    """Return the sides with these names; `against` is the other checkout."""
    return [Side(name, against if name == AGAINST and against else ROOT) for name in names]
