"""Logs that cannot be written: the disk is full, the pipe has no reader, or the output is closed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from pymongo import MongoClient

from deploy.local.ports import free_port
from deploy.local.process import Process
from deploy.local.supervisor import Supervisor
from tests.callers import HttpCaller
from tests.integration.breakable import http_caller, until
from tests.integration.test_lost_index import CLAIM_INDEX, drop_index
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Stack


@pytest.fixture
def stack(servers: Servers) -> Iterator[Stack]:
    with servers.new_stack() as stack:
        yield stack


def full_disk() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def no_reader() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def start(kind: str, output: Callable[[], int] | None, **env: str) -> subprocess.Popen[bytes]:
    command, environment = [sys.executable, "-m", kind], {**os.environ, **env}
    if output is None:
        return subprocess.Popen(["/bin/sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command], env=environment)
    with os.fdopen(output(), "wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env=environment)


@pytest.mark.parametrize("output", [full_disk, no_reader, None], ids=["full", "no_reader", "closed"])
async def test_services_keep_serving_if_their_log_cannot_be_written(
    stack: Stack, output: Callable[[], int] | None
) -> None:
    """Gateway and workers keep answering, watch the indexes, and exit with 0 on SIGTERM.

    `closed`: standard output and error are closed at the start, as by `>&- 2>&-`.
    """
    port = free_port()
    stack.url = f"http://127.0.0.1:{port}"
    processes = [
        start(kind, output, **stack.env, PORT=str(port), LOG_LEVEL="debug", LOG_FORMAT="json")
        for kind in ("booking_worker", "hold_worker", "gateway")
    ]
    try:
        await until(lambda: httpx.get(f"{stack.url}/readyz").status_code == 200, "all are ready")
        async with http_caller(stack) as caller:
            await assert_serves(caller)
            drop_index(stack)  # the watch logs this twice
            await until(lambda: has_index(stack), "the watch recreates the index")
            await until(lambda: httpx.get(f"{stack.url}/readyz").status_code == 200, "all are ready again")
            await assert_serves(caller)
        assert [process.poll() for process in processes] == [None] * 3
        for process in processes:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(20) for process in processes] == [0] * 3
    finally:
        for process in processes:
            process.kill()
            process.wait()


async def assert_serves(caller: HttpCaller) -> None:
    body = fresh()
    assert (await caller.book(body)).status == 201
    assert (await caller.book(body)).status == 409
    assert (await caller.book({})).status == 400
    assert (await caller.hold(fresh())).status == 200


def has_index(stack: Stack) -> bool:
    with MongoClient[dict[str, object]](stack.env["MONGO_URI"]) as client:
        return CLAIM_INDEX in client.get_default_database()["appointments"].index_information()


def test_the_supervisor_restarts_processes_on_a_full_disk(tmp_path: Path) -> None:
    """The supervisor restarts a process that dies even if it cannot write its state or the log."""

    class Sleeper(Process):
        kind = "gateway"

        def command(self) -> list[str]:
            return ["sleep", "60"]

        def problem(self) -> None:
            return None

    full = False

    def write_state(_: object) -> None:
        if full:
            Path("/dev/full").write_text("state")

    supervisor = Supervisor(write_state, service_seconds=1)
    sleeper = Sleeper("sleeper", tmp_path / "sleeper.log")
    supervisor.start([sleeper])
    supervisor._is_up = full = True
    try:
        first = sleeper.pid
        sleeper.kill()
        for _ in range(3):
            supervisor._step()
        assert sleeper.running
        assert sleeper.pid != first
        sleeper.log_file = Path("/proc/nowhere/sleeper.log")
        sleeper.kill()
        for _ in range(3):
            supervisor._step()
        sleeper.log_file = tmp_path / "sleeper.log"
        supervisor._restart_at[sleeper] = 0
        supervisor._step()
        assert sleeper.running
    finally:
        supervisor.stop()
