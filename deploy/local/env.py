"""Print the addresses of a running stack: `python -m deploy.local env`."""

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.registry import registered_folders
from deploy.local.state import DATA, State, StateFile

ADDRESSES = ("GATEWAY_URL", "HEALTH_PORTS", "NATS_URL", "NATS_ACCESS_FILE", "MONGO_URI", "REDIS_URL")
PORTS = {
    "BOOKING_WORKER_HTTP_PORTS": "booking_worker",
    "HOLD_WORKER_HTTP_PORTS": "hold_worker",
    "RELAY_HTTP_PORTS": "booking_worker.events",
    "WEBHOOKS_HTTP_PORTS": "gateway.webhooks",
}
PIDS = {
    "BOOKING_WORKER_PIDS": "booking_worker",
    "HOLD_WORKER_PIDS": "hold_worker",
    "RELAY_PIDS": "booking_worker.events",
    "WEBHOOKS_PIDS": "gateway.webhooks",
    "GATEWAY_PIDS": "gateway",
    "MONGOD_PID": "mongod",
    "REDIS_PID": "redis",
    "NATS_PID": "nats",
}
NONE_RUNS = "No stack of this checkout is running; start one: make up"


def env(data: Path | None) -> str:
    """Return the addresses and process ids of a stack (`find_stack`) as shell assignments.

    Raises:
        StackError: no stack is running, or it is still starting.
    """
    state = find_stack(data)
    if not state.supervisor.running:
        print(
            "The supervisor was killed: what dies is not started again; `make up` begins anew",
            file=sys.stderr,
        )
    values = {name: state.addresses[name] for name in ADDRESSES}
    values["SUPERVISOR_PID"] = str(state.supervisor.pid) if state.supervisor.running else ""
    values |= {name: _join(process.pid for process in state.of(kind)) for name, kind in PIDS.items()}
    values |= {name: _join(process.http_port for process in state.of(kind)) for name, kind in PORTS.items()}
    return "\n".join(f"{name}={shlex.quote(value) if value else ''}" for name, value in values.items())


def _join(numbers: Iterable[int | None]) -> str:
    return " ".join(str(number) for number in numbers if number)


def find_stack(data: Path | None = None) -> State:
    """Find the stack that runs on `data`, else on `.local`, else elsewhere from this checkout.

    Processes that a killed supervisor has left running are a stack too.

    Raises:
        StackError: no stack or more than one is running, or it is still starting.
    """
    folders = [data] if data else [DATA, *registered_folders()]
    stacks = {folder: state for folder in folders if (state := StateFile(folder).read()) and state.running}
    if not stacks:
        raise StackError(NONE_RUNS)
    if len(stacks) > 1 and DATA not in stacks:
        raise StackError(f"Several stacks are running; choose one with --data: {', '.join(map(str, stacks))}")
    state = stacks.get(DATA) or next(iter(stacks.values()))
    if not all(name in state.addresses for name in ADDRESSES):
        raise StackError("The stack is still starting" if state.supervisor.running else NONE_RUNS)
    return state
