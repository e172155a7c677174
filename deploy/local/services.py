"""Run gateways and workers as processes of the stack."""

import http.client
import json
import os
import sys
from pathlib import Path

from deploy.local.ports import LOOPBACK, free_port, reachable, shown
from deploy.local.process import Process

ANSWER_SECONDS = 3.0
# The variables with the addresses of the parts that a service reports as not ready. The causes come first, in
# the order in which a worker connects to them.
VARIABLES = {"mongodb": "MONGO_URI", "redis": "REDIS_URL", "nats": "NATS_URL"}


class Service(Process):
    """A process of the module `kind`, which is ready once its `/readyz` returns 200."""

    def __init__(self, kind: str, name: str, log_file: Path, env: dict[str, str]) -> None:
        super().__init__(name, log_file)
        self.kind = kind
        self._env = env
        self._address = (reachable(env["HOST"]), int(env["PORT"]))

    def command(self) -> list[str]:
        return [sys.executable, "-m", self.kind]

    def environment(self) -> dict[str, str]:
        return {**os.environ, **self._env, "PYTHONUNBUFFERED": "1"}

    def problem(self) -> str | None:
        connection = http.client.HTTPConnection(*self._address, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            return None if answer.status == 200 else self._unready(answer.read())
        except (OSError, http.client.HTTPException):
            return "does not answer"
        finally:
            connection.close()

    def _unready(self, body: bytes) -> str:
        try:
            checks: dict[str, str] = json.loads(body)["checks"]
        except (ValueError, KeyError):
            return "is not ready"
        order = [*VARIABLES, *checks]
        wrong = sorted(
            (part for part, state in checks.items() if not state.startswith("ok")), key=order.index
        )
        return ", ".join(f"{self._place(part)}: {checks[part]}" for part in wrong)

    def _place(self, part: str) -> str:
        url = self._env.get(VARIABLES.get(part, ""))
        return f"{part} at {shown(url)}" if url else part


class Gateway(Service):
    """A gateway. The supervisor checks its health port, which no other gateway shares."""

    def __init__(self, kind: str, name: str, log_file: Path, env: dict[str, str]) -> None:
        super().__init__(kind, name, log_file, env)
        self._address = (reachable(env["HOST"]), int(env["HEALTH_PORT"]))


class Worker(Service):
    """A worker. It has its own health port on loopback, a new one at each start."""

    def environment(self) -> dict[str, str]:
        self.http_port = free_port()
        self._address = (LOOPBACK, self.http_port)
        return {**super().environment(), "HOST": LOOPBACK, "WORKER_HTTP_PORT": str(self.http_port)}
