"""A local stack that cannot start names the reason in one line."""

import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from deploy.local.nats import Nats
from deploy.local.process import ROOT
from deploy.local.redis import Redis
from tests.integration.local_stack.stack import STOP_SECONDS, LocalStack, shown
from tests.stack import wait_until


def test_a_stack_can_be_stopped_while_it_starts(data: Path) -> None:
    """A signal before the stack is ready stops it, and no process is left."""
    stack = LocalStack(data)
    wait_until(lambda: "Starting" in stack.output, "the stack starts")
    assert stack.stop(signal.SIGINT) < STOP_SECONDS
    assert stack.processes() == []


def test_a_port_in_use_is_reported_before_any_process_starts(data: Path) -> None:
    """If the port is in use, the stack prints one line that suggests another port, and starts nothing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = LocalStack(data, PORT=str(port)).refused()
    assert line == f"Port {port} is in use; choose another: PORT={port + 1} make up"
    assert not (data / "logs").exists()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("BOOKING_WORKERS", "0"), ("HOLD_WORKERS", "two"), ("PORT", "70000"), ("SOFT_HOLD_SECONDS", "-1")],
)
def test_an_invalid_setting_is_reported_before_any_process_starts(
    data: Path, variable: str, value: str
) -> None:
    """With an invalid setting of stack or service, one line names the variable, and nothing starts."""
    line = LocalStack(data, **{variable: value}).refused()
    assert line.startswith(f"{variable}: ")
    assert "\n" not in line
    assert not data.exists()


def test_a_stack_for_other_hosts_needs_keys(data: Path) -> None:
    """With HOST=0.0.0.0 and without keys, one line names what to set, and nothing starts."""
    line = LocalStack(data, HOST="0.0.0.0").refused()  # noqa: S104
    assert line.startswith("API_KEYS_FILE: ")
    assert "ALLOW_ANONYMOUS=true" in line
    assert not data.exists()


def test_the_screen_prints_how_to_close_an_open_stack(data: Path, tmp_path: Path) -> None:
    """The command on the screen makes a key; a stack with that file refuses a booking without it."""
    stack = LocalStack(data).ready()
    words = shlex.split(shown(stack.output, "It needs no key; to close it"))
    stack.stop()
    module = [sys.executable, "-c", "from shared.cli.__main__ import keys; keys()"]
    made = subprocess.run(
        [*module, *words[1:]],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    closed = LocalStack(data, API_KEYS_FILE=str(tmp_path / "keys.json")).ready()
    assert "to close it" not in closed.output
    assert '-H "Authorization: Bearer $KEY"' in closed.output
    grid = f"{closed.url}/api/grid"
    assert httpx.get(grid).status_code == 401
    assert httpx.get(grid, headers={"Authorization": f"Bearer {made.stdout.strip()}"}).status_code == 200
    closed.stop()


def test_a_service_that_cannot_start_stops_the_stack(data: Path) -> None:
    """If a service refuses to start, the stack prints the service's reason in one line, and stops."""
    LocalStack(data, SLOT_MINUTES="15").ready().stop()
    line = LocalStack(data, SLOT_MINUTES="30").refused()
    assert "SLOT_MINUTES is 30, but the database was made with 15: set SLOT_MINUTES=15, or start on" in line
    assert "\n" not in line


def test_an_unreachable_server_is_named_without_its_password(data: Path) -> None:
    """While a server is unreachable, the stack prints its address, the waiting services and the timeout."""
    stack = LocalStack(data, MONGO_URI="mongodb://someone:secret@127.0.0.1:1/booking")
    cause = "booking_worker-1, hold_worker-1: mongodb at mongodb://127.0.0.1:1/booking: "
    wait_until(
        lambda: stack.said(f"Still waiting, and giving up after 60 s: {cause}"), "the stack names the server"
    )
    assert "gateway" not in stack.output
    assert "secret" not in stack.output
    stack.stop()


def test_a_second_stack_on_the_same_data_is_refused(data: Path) -> None:
    """A second stack on the same data is refused in one line, and the first keeps serving."""
    stack = LocalStack(data).ready()
    second = [sys.executable, "-m", "deploy.local", "--data", str(data)]
    result = subprocess.run(second, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    pid = stack.process.pid
    assert result.stderr == (
        f"A stack (pid {pid}) is already running on {data}, at {stack.url}; to stop it: kill {pid}\n"
    )
    assert httpx.get(f"{stack.url}/readyz").status_code == 200
    stack.stop()


def test_given_servers_are_used(data: Path, tmp_path: Path) -> None:
    """Servers in `MONGO_URI`, `REDIS_URL` or `NATS_URL` replace embedded ones, and the screen names them.

    A file may hold the URL, as `REDIS_URL_FILE` here.
    """
    with Nats(tmp_path / "nats") as nats, Redis(tmp_path / "redis") as redis:
        nats_url = nats.url.replace("//", "//someone:secret@")
        (tmp_path / "url").write_text(f"{redis.url}\n")
        stack = LocalStack(data, NATS_URL=nats_url, REDIS_URL_FILE=str(tmp_path / "url")).ready()
        assert shown(stack.output, "NATS") == f"{nats.url} (from NATS_URL)"
        assert shown(stack.output, "Redis") == f"{redis.url} (from REDIS_URL)"
        assert "secret" not in stack.output
        assert "MongoDB" not in stack.output
        addresses = stack.addresses()
        assert (addresses["NATS_URL"], addresses["REDIS_URL"]) == (nats_url, redis.url)
        assert (addresses["NATS_PID"], addresses["REDIS_PID"]) == ("", "")
        assert addresses["MONGOD_PID"]
        stack.stop()
        assert (nats.running, redis.running) == (True, True)
