"""The services of a run by name (`booking_worker-2`); a name outlives its processes."""

import signal
import subprocess
from functools import partial

import httpx

from deploy.local.ports import free_port
from tests.sabotage import OF_GATEWAYS
from tests.stack import Service, Stack, wait_until

MODULES = {"relay": "booking_worker.events", "webhooks": "gateway.webhooks"}
"""The modules of services whose names say something else."""


class Services:
    """Gateways and workers, started without the named safeguards, if any."""

    def __init__(self, stack: Stack, without: str = "") -> None:
        self.stack = stack
        self.urls: dict[str, str] = {}
        self.complaints: list[str] = []
        self.without = without
        self._current: dict[str, Service] = {}
        self._logs: list[tuple[str, Service]] = []

    def names(self, module: str = "") -> list[str]:
        """Return the services whose names begin with `module`, in a fixed order."""
        return sorted(name for name in self._current if name.startswith(module))

    def to_replace(self, without: str) -> list[str]:
        """Return the services to restart for a run without these safeguards: at least all workers.

        A gateway stores no booking and no hold, so it stays if its own missing safeguards stay the same.
        """
        same = _safeguards("gateway", without) == _safeguards("gateway", self.without)
        return [name for name in self.names() if not (same and name.startswith("gateway"))]

    def pids(self) -> dict[str, int]:
        return {name: service.process.pid for name, service in self._current.items()}

    def start(self, name: str, service_type: type[Service] = Service, /, **env: str) -> Service:
        """Start a service, or restart it; a gateway keeps its address."""
        module = name.rpartition("-")[0]
        if module == "gateway":
            url = self.urls.setdefault(name, f"http://127.0.0.1:{free_port()}")
            env["PORT"] = url.rpartition(":")[2]
        without = _safeguards(module, self.without)
        service = self.stack.start(MODULES.get(module, module), service_type, without=without, **env)
        self._current[name] = service
        self._logs.append((name, service))
        return service

    def kill(self, name: str) -> None:
        """Kill the process, as a crash would."""
        self._retire(name).kill()

    def stop(self, name: str) -> None:
        """Send SIGTERM and wait for the end; add a complaint if that takes too long."""
        service = self._retire(name)
        service.send(signal.SIGTERM)
        try:
            code = service.wait()
            if code and '"serving"' in service.log:  # before that, it has no work to finish
                self.complaints.append(f"{name} exited with {code} after SIGTERM")
        except subprocess.TimeoutExpired:
            self.complaints.append(f"{name} did not end after SIGTERM")
            service.kill()

    def pause(self, name: str) -> Service:
        """Freeze the process and return it: by the time it resumes, its name may have another process."""
        service = self._current[name]
        service.send(signal.SIGSTOP)
        return service

    def wait_ready(self) -> None:
        """Wait until every gateway is ready."""
        for url in self.urls.values():
            wait_until(partial(_is_ready, url), f"{url} is ready")

    def complain_if_ended(self, name: str) -> None:
        """Add a complaint if a service has ended that its fault must leave alive."""
        if not self._current[name].running:
            self.complaints.append(f"{name} {self._current[name].exit_summary()}")

    def died(self) -> list[str]:
        """Return the services that ended by themselves."""
        return [name for name, service in self._current.items() if service.process.poll() is not None]

    def logs(self) -> list[tuple[str, str]]:
        """Return the log of each process, ended ones included."""
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
    """Return those of the named safeguards that services of this module have."""
    mine = (each for each in without.split(",") if (each in OF_GATEWAYS) == (module == "gateway"))
    return ",".join(each for each in mine if each)


def _is_ready(url: str) -> bool:
    return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
