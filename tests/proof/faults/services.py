"""The services of a run by name (`booking_worker-2`), which outlive the processes that they are."""

import signal
import subprocess
from functools import partial

import httpx

from deploy.local.ports import free_port
from tests.sabotage import OF_GATEWAYS
from tests.stack import Service, Stack, wait_until


class Services:
    """Gateways and workers, started without the safeguards that are named, if any."""

    def __init__(self, stack: Stack, without: str = "") -> None:
        self.stack = stack
        self.urls: dict[str, str] = {}
        self.complaints: list[str] = []
        self.without = without
        self._current: dict[str, Service] = {}
        self._logs: list[tuple[str, Service]] = []

    def names(self, module: str = "") -> list[str]:
        """The services of a module, or all, in a fixed order."""
        return sorted(name for name in self._current if name.startswith(module))

    def to_replace(self, without: str) -> list[str]:
        """The services that are to be new where these safeguards are missing: all workers at least.

        A gateway knows of no booking or hold, and stays if it does without the same safeguards as before.
        """
        same = _safeguards("gateway", without) == _safeguards("gateway", self.without)
        return [name for name in self.names() if not (same and name.startswith("gateway"))]

    def pids(self) -> dict[str, int]:
        return {name: service.process.pid for name, service in self._current.items()}

    def start(self, name: str, service_type: type[Service] = Service, /, **env: str) -> Service:
        """Start a service, or start it again where it ran before; a gateway keeps its address."""
        module = name.rpartition("-")[0]
        if module == "gateway":
            url = self.urls.setdefault(name, f"http://127.0.0.1:{free_port()}")
            env["PORT"] = url.rpartition(":")[2]
        without = _safeguards(module, self.without)
        service = self.stack.start(module, service_type, without=without, **env)
        self._current[name] = service
        self._logs.append((name, service))
        return service

    def kill(self, name: str) -> None:
        """End it as a crash would."""
        self._retire(name).kill()

    def stop(self, name: str) -> None:
        """Ask it to end, and wait until it has; it is noted where that takes too long."""
        service = self._retire(name)
        service.send(signal.SIGTERM)
        try:
            code = service.wait()
            if code and '"serving"' in service.log:  # before that, it has nothing to finish
                self.complaints.append(f"{name} exited with {code} after SIGTERM")
        except subprocess.TimeoutExpired:
            self.complaints.append(f"{name} did not end after SIGTERM")
            service.kill()

    def pause(self, name: str) -> Service:
        """Freeze its process, which is returned: another may have taken its place when it goes on."""
        service = self._current[name]
        service.send(signal.SIGSTOP)
        return service

    def wait_ready(self) -> None:
        """Wait until every gateway is ready."""
        for url in self.urls.values():
            wait_until(partial(_is_ready, url), f"{url} is ready")

    def complain_if_ended(self, name: str) -> None:
        """Note it where a service, which a fault is to leave alive, has ended."""
        if not self._current[name].running:
            self.complaints.append(f"{name} {self._current[name].exit_summary()}")

    def died(self) -> list[str]:
        """The services that ended by themselves."""
        return [name for name, service in self._current.items() if service.process.poll() is not None]

    def logs(self) -> list[tuple[str, str]]:
        """What each process has logged, ended ones too."""
        return [(name, service.log) for name, service in self._logs]

    def down(self) -> None:
        """End all processes."""
        with self.stack.closing:
            try:
                self.stack.down()
            finally:
                for service in self.stack.services:
                    service.kill()

    def _retire(self, name: str) -> Service:
        service = self._current[name]
        if service in self.stack.services:
            self.stack.services.remove(service)
        return service


def _safeguards(module: str, without: str) -> str:
    """Those of the ones that are named which services of this kind have."""
    mine = (each for each in without.split(",") if (each in OF_GATEWAYS) == (module == "gateway"))
    return ",".join(each for each in mine if each)


def _is_ready(url: str) -> bool:
    return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
