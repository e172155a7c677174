"""`python -m deploy.local env`: where a running stack is."""

import shlex
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.state import StateFile

ADDRESSES = ("GATEWAY_URL", "NATS_URL", "MONGO_URI", "REDIS_URL")
PIDS = {
    "BOOKING_WORKER_PIDS": "booking_worker",
    "HOLD_WORKER_PIDS": "hold_worker",
    "GATEWAY_PIDS": "gateway",
    "MONGOD_PID": "mongod",
    "REDIS_PID": "redis",
    "NATS_PID": "nats",
}


def env(data: Path) -> str:
    """The addresses and process ids of the stack that runs on `data`, as shell assignments.

    Raises:
        StackError: none is running, or it is still starting.
    """
    state = StateFile(data).read()
    if state is None or not state.supervisor.running:
        raise StackError("No stack is running; start one: make up")
    if not all(name in state.addresses for name in ADDRESSES):
        raise StackError("The stack is still starting")
    values = {name: state.addresses[name] for name in ADDRESSES}
    values |= {name: " ".join(map(str, state.pids(kind))) for name, kind in PIDS.items()}
    return "\n".join(f"{name}={shlex.quote(value) if value else ''}" for name, value in values.items())
