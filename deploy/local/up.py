"""Run the whole stack on this machine: `python -m deploy.local up`."""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.local.binaries import find_binary
from deploy.local.console import print_line, ready_message
from deploy.local.demo import make_demo_site
from deploy.local.demo_phone import demo_phone
from deploy.local.embedded import EmbeddedServer
from deploy.local.errors import StackError
from deploy.local.mongod import Mongod
from deploy.local.nats import Nats
from deploy.local.ports import free_port, require_free
from deploy.local.process import OLD_LOG, Process, end
from deploy.local.recorded import RecordedProcess
from deploy.local.redis import Redis
from deploy.local.registry import registered
from deploy.local.secure import SecureNats, secure_nats
from deploy.local.services import Gateway, Worker
from deploy.local.settings import StackSettings, load_settings
from deploy.local.state import State, StateFile
from deploy.local.supervisor import Stopped, Supervisor, stop_order
from shared.process.gateway_settings import AccessSettings
from shared.process.message_settings import NotifySettings
from shared.process.secret_files import UnusableSecret, read_secret
from shared.process.settings import GridSettings, Misconfigured, NatsSettings, load

EMBEDDED: dict[str, type[EmbeddedServer]] = {"MONGO_URI": Mongod, "REDIS_URL": Redis, "NATS_URL": Nats}


def up(data: Path, *, verbose: bool) -> None:
    """Run the stack until a signal stops it, and leave no process running.

    Raises:
        StackError, Misconfigured: the message says in one line what to change; nothing is left running.
    """
    settings, file = load_settings(), StateFile(data)
    service_seconds = load(NatsSettings).stop_seconds
    os.umask(0o077)  # bookings contain names
    with file.lock(), registered(data):
        _end_orphans(file, service_seconds)
        require_free(settings.host, settings.port)
        addresses = {"GATEWAY_URL": settings.url}
        supervisor = Supervisor(
            lambda processes: file.write(_state(addresses, processes)),
            service_seconds=service_seconds,
            verbose=verbose,
        )
        with _signals_to(supervisor):
            try:
                _run(supervisor, settings, addresses, data)
            except Stopped:
                print_line("Stopping (Ctrl-C again: at once)")
            finally:
                supervisor.stop()
                file.remove()
    print_line("Stopped")


def _run(supervisor: Supervisor, settings: StackSettings, addresses: dict[str, str], data: Path) -> None:
    logs = data / "logs"
    for old in logs.glob("*.log"):
        old.replace(old.with_suffix(OLD_LOG))
    given = {variable: _given(variable) for variable in EMBEDDED}
    secure = _secure_nats(settings, given, data)
    servers = {
        variable: server(data / server.kind, log_file=logs / f"{server.kind}.log")
        for variable, server in EMBEDDED.items()
        if not given[variable]
    }
    if secure:
        log_file = logs / f"{Nats.kind}.log"
        servers["NATS_URL"] = Nats(data / Nats.kind, log_file=log_file, access=secure.configuration)
    for server in servers.values():
        find_binary(server.binary)
    print_line("Starting ...")
    supervisor.start(list(servers.values()))
    addresses |= {name: servers[name].url if name in servers else given[name] for name in EMBEDDED}
    health_ports = _health_ports(settings)
    addresses["NATS_ACCESS_FILE"] = secure.client_file if secure else ""
    addresses["HEALTH_PORTS"] = " ".join(map(str, health_ports))
    phone = demo_phone(data)
    supervisor.start(_services(settings, addresses, logs, health_ports, secure=secure, phone=phone))
    access_file = secure.environment("gateway")["NATS_ACCESS_FILE"] if secure else ""
    has_demo = _is_new(given) and make_demo_site(addresses["NATS_URL"], access_file, data)
    is_open = not load(AccessSettings).has_keys
    print_line(
        ready_message(
            settings.url, data, given, secure=secure is not None, is_open=is_open, has_demo=has_demo
        )
    )
    supervisor.watch()


def _is_new(given: dict[str, str]) -> bool:
    """Whether the demo site may be made: in no database of others, and on a grid that has durations."""
    return not any(given.values()) and load(GridSettings).slot_minutes > 0


def _secure_nats(settings: StackSettings, given: dict[str, str], data: Path) -> SecureNats | None:
    """Write the files of a NATS with accounts, if they are wanted.

    Raises:
        StackError: NATS is not this stack's.
    """
    if not settings.secure:
        return None
    if given["NATS_URL"]:
        raise StackError("SECURE needs the NATS of this stack: unset NATS_URL")
    return secure_nats(data / "access")


def _given(variable: str) -> str:
    """Return the address of a server that the stack does not start, or ''."""
    try:
        return read_secret(variable) or ""
    except UnusableSecret as error:
        raise Misconfigured(str(error)) from None


def _health_ports(settings: StackSettings) -> list[int]:
    """Return a port per gateway: the configured one for the first, free ones for the rest."""
    first = settings.health_port or free_port()
    return [first, *(free_port() for _ in range(settings.gateways - 1))]


def _services(
    settings: StackSettings,
    addresses: dict[str, str],
    logs: Path,
    health_ports: Sequence[int],
    *,
    secure: SecureNats | None,
    phone: Mapping[str, str],
) -> list[Process]:
    env = {
        **{variable: addresses[variable] for variable in EMBEDDED},
        **{f"{variable}_FILE": "" for variable in EMBEDDED},  # the stack has read the file
        "HOST": settings.host,
        "PORT": str(settings.port),
        "SHARE_PORT": str(settings.share_port or settings.gateways > 1),
        # Not one that this shell has of another stack.
        **({} if os.environ.get("NATS_URL") else {"NATS_ACCESS_FILE": ""}),
        "DEMO_PAGES": os.environ.get("DEMO_PAGES") or "true",
        "LOG_FORMAT": os.environ.get("LOG_FORMAT") or "console",
    }
    counts = {
        ("booking_worker", "booking_worker"): settings.booking_workers,
        ("hold_worker", "hold_worker"): settings.hold_workers,
        ("booking_worker.events", "relay"): settings.relays,
        ("gateway.webhooks", "webhooks"): settings.webhook_workers,
        ("gateway.notify", "notify"): int(load(NotifySettings).has_provider),
    }

    def env_of(kind: str) -> dict[str, str]:
        return {**env, **(secure.environment(kind) if secure else {})}

    workers: list[Process] = [
        Worker(kind, f"{name}-{n}", logs / f"{name}-{n}.log", env_of(kind))
        for (kind, name), count in counts.items()
        for n in range(1, count + 1)
    ]
    gateways: list[Process] = [
        Gateway(
            "gateway",
            f"gateway-{n}",
            logs / f"gateway-{n}.log",
            {**env_of("gateway"), **phone, "HEALTH_PORT": str(port)},
        )
        for n, port in enumerate(health_ports, 1)
    ]
    return [*workers, *gateways]


def _state(addresses: dict[str, str], processes: Sequence[Process]) -> State:
    recorded = [RecordedProcess.now(process.kind, process.pid, process.http_port) for process in processes]
    return State(RecordedProcess.now("supervisor", os.getpid()), addresses, recorded)


def _end_orphans(file: StateFile, service_seconds: float) -> None:
    left = file.read()
    orphans = [process for process in left.processes if process.running] if left else []
    if orphans:
        print_line(f"Stopping {len(orphans)} processes of a stack that was killed")
    for kinds, seconds in stop_order(service_seconds):
        end([process for process in orphans if process.kind in kinds], seconds)
    file.remove()


@contextmanager
def _signals_to(supervisor: Supervisor) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, supervisor.on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
