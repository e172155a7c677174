"""`python -m deploy.local`: everything on one machine, from one command, with nothing left behind."""

import asyncio
import contextlib
import os
import platform
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import nats
import psutil
import pytest
from pymongo import MongoClient

from deploy.local import env, registry, state
from deploy.local.embedded import EmbeddedServer
from deploy.local.errors import StackError
from deploy.local.mongod import Mongod
from deploy.local.nats import Nats
from deploy.local.ports import free_port
from deploy.local.process import KILL_SECONDS
from deploy.local.recorded import RecordedProcess
from deploy.local.redis import Redis
from deploy.local.registry import registered
from deploy.local.state import State, StateFile
from deploy.local.supervisor import stop_order
from shared.process.settings import NatsSettings
from tests.proof.race.addresses import Addresses, of_local_stack
from tests.slots import fresh
from tests.stack import wait_until

ADDRESSES = {"MONGO_URI", "REDIS_URL", "NATS_URL"}
BOOK = "/api/book-appointment"
STOP_SECONDS = sum(seconds for _, seconds in stop_order(NatsSettings().stop_seconds)) + KILL_SECONDS


class LocalStack:
    """A supervisor as a person runs it, on data of its own."""

    def __init__(self, data: Path, **env: str) -> None:
        self.data = data
        self.port = int(env.get("PORT") or free_port())
        self.url = f"http://127.0.0.1:{self.port}"
        inherited = {name: value for name, value in os.environ.items() if name not in ADDRESSES}
        self._env = {
            **inherited,
            **{"BOOKING_WORKERS": "1", "HOLD_WORKERS": "1", "PORT": str(self.port)},
            **{"XDG_STATE_HOME": str(state_home(data)), **env},
        }
        self._output = data.with_suffix(".out")
        self._command = [sys.executable, "-m", "deploy.local", "--data", str(data)]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                self._command, env=self._env, stdout=output, stderr=output, start_new_session=True
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def said(self, words: str) -> bool:
        return words in self.output

    def ready(self) -> "LocalStack":
        """Wait for its screen."""
        wait_until(lambda: "is ready at" in self.output or self.process.poll() is not None, "it is ready")
        assert self.process.poll() is None, self.output
        return self

    def refused(self) -> str:
        """What it says when it does not start, without the lines that tell that it tries."""
        assert self.process.wait(60) == 1
        assert self.processes() == []
        lines = self.output.splitlines()
        return "\n".join(line for line in lines if not line.startswith(("Starting ...", "Still waiting")))

    def addresses(self) -> dict[str, str]:
        """What `env` prints."""
        command = [*self._command, "env"]
        printed = subprocess.run(command, env=self._env, capture_output=True, text=True, check=True).stdout
        return dict(word.split("=", 1) for word in shlex.split(printed))

    def processes(self) -> list[int]:
        """The processes that were started for this stack and still run."""
        return [process.pid for process in running_on(self.data, self.port)]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Stop it, and say how many seconds that took."""
        began = time.monotonic()
        self.process.send_signal(number)
        assert self.process.wait(STOP_SECONDS * 3) == 0, self.output
        return time.monotonic() - began


def shown(screen: str, title: str) -> str:
    """What a stack's screen says under a title."""
    (line,) = (line for line in screen.splitlines() if line.startswith(f"  {title}: "))
    return line.partition(": ")[2].strip()


def state_home(data: Path) -> Path:
    """Where a stack is noted: with its data, not where those of whoever runs the tests are."""
    return data.with_suffix(".state")


def running_on(data: Path, port: int = 0) -> list[psutil.Process]:
    """The processes that have the data directory or the gateway's port about them."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            marks = [*process.cmdline(), process.cwd(), f"{process.environ().get('PORT')}/"]
            ours = any(str(data) in mark or mark == f"{port}/" for mark in marks)
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data directory. What a failed test leaves running on it is stopped."""
    folder = tmp_path / "data"
    yield folder
    left = running_on(folder)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    psutil.wait_procs(left, timeout=STOP_SECONDS)


def test_the_stack_serves_stops_and_keeps_its_bookings(data: Path) -> None:
    """What was booked is there after a Ctrl-C or SIGTERM, which leaves no process, and another start."""
    stack, body = LocalStack(data, BOOKING_WORKERS="2").ready(), fresh()
    answer = httpx.post(f"{stack.url}/api/book-appointment", json=body)
    assert answer.status_code == 201
    assert len(stack.processes()) == 1 + 3 + 6
    assert stack.stop(signal.SIGINT) < STOP_SECONDS
    assert stack.processes() == []
    again = LocalStack(data).ready()
    assert httpx.post(f"{again.url}/api/book-appointment", json=body).json() == {
        "error": "Slot already booked"
    }
    assert again.stop(signal.SIGTERM) < STOP_SECONDS
    assert again.processes() == []
    assert [file for file in (data, *data.rglob("*")) if file.stat().st_mode & 0o077] == []  # names are in it


async def test_what_is_in_flight_when_the_stack_stops_is_answered(data: Path) -> None:
    """A booking that MongoDB keeps waiting gets its answer, however long it may take."""
    stack = await asyncio.to_thread(LocalStack(data).ready)
    addresses = stack.addresses()
    witness = await nats.connect(addresses["NATS_URL"])
    commands = await witness.subscribe("booking.v1.*")
    os.kill(int(addresses["MONGOD_PID"]), signal.SIGSTOP)
    async with httpx.AsyncClient(timeout=60) as client:
        booking = asyncio.create_task(client.post(f"{stack.url}/api/book-appointment", json=fresh()))
        while "book" not in (await commands.next_msg(60)).subject.rpartition(".")[2]:
            pass
        await witness.close()
        stopping = asyncio.create_task(asyncio.to_thread(stack.stop))
        assert (await booking).status_code in {503, 504}
    await stopping
    assert stack.processes() == []


def test_what_dies_is_restarted(data: Path) -> None:
    """A worker, the gateway and a server that are killed come back, and the stack says so."""
    stack = LocalStack(data).ready()
    before = stack.addresses()
    killed = [int(before[name]) for name in ("BOOKING_WORKER_PIDS", "GATEWAY_PIDS", "MONGOD_PID")]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    for pid in killed:
        wait_until(partial(stack.said, f"(pid {pid}) died with SIGKILL; restarted"), "it is restarted")
    wait_until(lambda: httpx.get(f"{stack.url}/readyz").status_code == 200, "the stack is ready again")
    wait_until(
        lambda: httpx.post(f"{stack.url}/api/book-appointment", json=fresh()).status_code == 201,
        "bookings work again",
    )
    after = stack.addresses()
    assert not set(killed) & {int(pid) for name, pid in after.items() if "PID" in name for pid in pid.split()}
    assert {name: after[name] for name in ADDRESSES} == {name: before[name] for name in ADDRESSES}
    stack.stop()
    assert stack.processes() == []


async def test_several_gateways_share_the_port(data: Path) -> None:
    """With `GATEWAYS=2` both serve it; one that is killed keeps nobody waiting, and is started again."""
    stack = await asyncio.to_thread(LocalStack(data, GATEWAYS="2").ready)
    killed, other = (psutil.Process(pid) for pid in gateways_of(stack))
    await serve_callers_with(stack, {killed, other})
    async with httpx.AsyncClient(base_url=stack.url, timeout=30) as client:
        killed.kill()
        while not stack.said(f"gateway-1 (pid {killed.pid}) died with SIGKILL; restarted"):
            # Cut off, or answered in time: one that hangs would end in a ReadTimeout.
            with contextlib.suppress(httpx.NetworkError, httpx.RemoteProtocolError):
                assert (await client.post(BOOK, json=fresh())).status_code == 201
    (again,) = set(gateways_of(stack)) - {other.pid}
    await serve_callers_with(stack, {other, psutil.Process(again)})
    ports = stack.addresses()["HEALTH_PORTS"].split()
    assert len(set(ports)) == 2
    for port in ports:
        assert httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    await asyncio.to_thread(stack.stop)
    assert stack.processes() == []


def gateways_of(stack: LocalStack) -> list[int]:
    """The process ids of the gateways that run."""
    return [int(pid) for pid in stack.addresses()["GATEWAY_PIDS"].split()]


async def serve_callers_with(stack: LocalStack, gateways: set[psutil.Process]) -> None:
    """Book over connections of their own, until each of the gateways has served some; all are booked."""
    left = set(gateways)
    async with asyncio.timeout(60):
        while left:
            async with httpx.AsyncClient(base_url=stack.url, timeout=30) as client:
                answers = await asyncio.gather(*(client.post(BOOK, json=fresh()) for _ in range(16)))
                assert {answer.status_code for answer in answers} == {201}
                left -= {gateway for gateway in gateways if serves(gateway, stack.port)}


def serves(process: psutil.Process, port: int) -> bool:
    """Whether callers of a port are connected with this process."""
    connections = process.net_connections("tcp")
    return any(each.laddr.port == port and each.status == psutil.CONN_ESTABLISHED for each in connections)


def test_a_killed_supervisor_leaves_nothing_for_long(data: Path) -> None:
    """The next start stops what a killed supervisor has left, on the same port and data."""
    stack = LocalStack(data).ready()
    stack.process.kill()
    stack.process.wait()
    orphans = stack.processes()
    assert len(orphans) == 3 + 3
    again = LocalStack(data, PORT=str(stack.port)).ready()
    assert not set(orphans) & set(again.processes())
    again.stop()
    assert again.processes() == []


def test_a_paused_stack_stops_in_time(data: Path) -> None:
    """Processes that hang do not keep the stack from stopping within the time that requests may take."""
    stack = LocalStack(data).ready()
    addresses = stack.addresses()
    for name in ("MONGOD_PID", "NATS_PID", "BOOKING_WORKER_PIDS"):
        os.kill(int(addresses[name]), signal.SIGSTOP)
    assert stack.stop() < STOP_SECONDS
    assert stack.processes() == []


def test_a_stack_can_be_stopped_while_it_starts(data: Path) -> None:
    """A signal before the stack is ready ends it as well, with nothing left."""
    stack = LocalStack(data)
    wait_until(lambda: "Starting" in stack.output, "it starts")
    assert stack.stop(signal.SIGINT) < STOP_SECONDS
    assert stack.processes() == []


def test_a_taken_port_is_told_before_anything_starts(data: Path) -> None:
    """A port that is in use costs one line, which offers another one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = LocalStack(data, PORT=str(port)).refused()
    assert line == f"Port {port} is in use; choose another: PORT={port + 1} make up"
    assert not (data / "logs").exists()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("BOOKING_WORKERS", "0"), ("HOLD_WORKERS", "two"), ("PORT", "70000"), ("SOFT_HOLD_SECONDS", "-1")],
)
def test_a_wrong_setting_is_told_before_anything_starts(data: Path, variable: str, value: str) -> None:
    """A wrong setting, of the stack or of a service, costs one line that names the variable."""
    line = LocalStack(data, **{variable: value}).refused()
    assert line.startswith(f"{variable}: ")
    assert "\n" not in line
    assert not data.exists()


def test_a_service_that_cannot_start_stops_the_stack(data: Path) -> None:
    """What a service says when it refuses to start is shown in one line, and everything is stopped."""
    LocalStack(data, SLOT_MINUTES="15").ready().stop()
    line = LocalStack(data, SLOT_MINUTES="30").refused()
    assert "SLOT_MINUTES is 30, but the database was made with 15: set SLOT_MINUTES=15, or start on" in line
    assert "\n" not in line


def test_a_server_that_is_waited_for_is_named_without_its_password(data: Path) -> None:
    """Whoever waits hears for what, where that is looked for, and how long: the cause before what follows."""
    stack = LocalStack(data, MONGO_URI="mongodb://someone:secret@127.0.0.1:1/booking")
    cause = "booking_worker-1, hold_worker-1: mongodb at mongodb://127.0.0.1:1/booking: "
    wait_until(lambda: stack.said(f"Still waiting, and giving up after 60 s: {cause}"), "it says so")
    assert "gateway" not in stack.output
    assert "secret" not in stack.output
    stack.stop()


def test_one_stack_at_a_time(data: Path) -> None:
    """A second stack on the same data is refused in one line, and the first goes on."""
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
    """`MONGO_URI`, `REDIS_URL` and `NATS_URL` take the place of embedded servers, and the screen says so."""
    with Nats(tmp_path / "nats") as nats, Redis(tmp_path / "redis") as redis:
        nats_url = nats.url.replace("//", "//someone:secret@")
        stack = LocalStack(data, NATS_URL=nats_url, REDIS_URL=redis.url).ready()
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


def test_the_screen_is_about_its_own_stack(data: Path) -> None:
    """What the screen of a stack with `--data` offers to run finds that one, whatever else runs."""
    stack = LocalStack(data).ready()
    assert shown(stack.output, "Prove that it cannot double-book") == f'make prove ARGS="--url {stack.url}"'
    env_command = shlex.split(shown(stack.output, "Addresses and process ids"))
    printed = subprocess.run(env_command, capture_output=True, text=True, check=True).stdout
    assert f"GATEWAY_URL={stack.url}\n" in printed
    assert shown(stack.output, "Stop") == f"Ctrl-C, or: kill {stack.process.pid}"
    stack.stop()


def test_a_stack_is_found_wherever_its_data_is(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make env` and `make prove` know of a stack with `--data`, and of what a killed supervisor left."""
    monkeypatch.setattr(env, "DATA", data.with_name("none"))
    monkeypatch.setenv("XDG_STATE_HOME", str(state_home(data)))
    stack = LocalStack(data).ready()
    addresses = stack.addresses()
    servers = Addresses(stack.url, addresses["NATS_URL"], addresses["MONGO_URI"])
    assert of_local_stack() == servers
    assert addresses["SUPERVISOR_PID"] == str(stack.process.pid)
    for name in ("BOOKING_WORKER", "HOLD_WORKER", "WEBHOOKS"):
        metrics = httpx.get(f"http://127.0.0.1:{addresses[f'{name}_HTTP_PORTS']}/metrics").text
        assert f'booking_build_info{{python="{platform.python_version()}",service="{name.lower()}"' in metrics
    monkeypatch.setattr(registry, "ROOT", data.with_name("another-checkout"))
    assert of_local_stack() is None
    monkeypatch.undo()
    monkeypatch.setattr(env, "DATA", data.with_name("none"))
    monkeypatch.setenv("XDG_STATE_HOME", str(state_home(data)))
    stack.process.kill()
    stack.process.wait()
    assert "SUPERVISOR_PID=\n" in env.env(None)
    assert of_local_stack() == servers
    assert f"GATEWAY_PIDS={addresses['GATEWAY_PIDS']}" in env.env(None)
    LocalStack(data, PORT=str(stack.port)).ready().stop()
    assert of_local_stack() is None


def test_of_several_stacks_one_has_to_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one on `.local` comes first; two others cannot be told apart."""
    monkeypatch.setattr(env, "DATA", tmp_path / "a")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    me = RecordedProcess.now("supervisor", os.getpid())
    with registered(tmp_path / "a"), registered(tmp_path / "b"), registered(tmp_path / "c"):
        for name in ("a", "b", "c"):
            (tmp_path / name).mkdir()
            StateFile(tmp_path / name).write(State(me, dict.fromkeys(env.ADDRESSES, name)))
        assert env.find_stack().addresses["GATEWAY_URL"] == "a"
        StateFile(tmp_path / "a").remove()
        with pytest.raises(StackError, match=f"choose one with --data: {tmp_path / 'b'}, {tmp_path / 'c'}$"):
            env.find_stack()
        assert env.find_stack(tmp_path / "c").addresses["GATEWAY_URL"] == "c"


def test_a_copied_directory_has_no_stack(tmp_path: Path) -> None:
    """A checkout that is copied with its data runs nothing, and neither finds nor stops the other's stack."""
    me = RecordedProcess.now("supervisor", os.getpid())
    (tmp_path / "original").mkdir()
    StateFile(tmp_path / "original").write(State(me, dict.fromkeys(env.ADDRESSES, "here"), [me]))
    shutil.copytree(tmp_path / "original", tmp_path / "copy")
    assert env.find_stack(tmp_path / "original").supervisor == me
    assert StateFile(tmp_path / "copy").read() is None
    with pytest.raises(StackError, match="No stack of this checkout is running"):
        env.find_stack(tmp_path / "copy")


@pytest.mark.parametrize("before", ["", "SUPERVISOR_PID=1; GATEWAY_URL=http://another; "])
def test_env_of_no_stack_cannot_be_misused(data: Path, before: str) -> None:
    """`env` without a stack prints nothing that a shell could run, and fails: what follows `&&` is not."""
    command = shlex.join([sys.executable, "-m", "deploy.local", "env", "--data", str(data)])
    script = f'{before}stack=$({command}) && eval "$stack" && echo "would stop $SUPERVISOR_PID"'
    result = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")


def test_a_slow_operation_of_mongod_logs_no_name(tmp_path: Path) -> None:
    """However slow an operation is, its query does not stand in the log; the control samples all of them."""
    with Mongod(tmp_path) as mongod, MongoClient[dict[str, object]](mongod.url) as client:
        for name, options in (("Ada Lovelace", {}), ("Grace Hopper", {"sampleRate": 1.0})):
            client.booking.command({"profile": 0, "slowms": -1, **options})
            client.booking.appointments.insert_one({"patientName": name})
            assert client.booking.appointments.find_one({"patientName": name})
        log = mongod.log_file.read_text()
    assert "Ada Lovelace" not in log
    assert "Grace Hopper" in log


def test_the_usual_data_directory_is_its_owners_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older `.local` becomes so; another directory that is there already stays as it is."""
    for name in ("usual", "other"):
        (tmp_path / name).mkdir(0o755)
    monkeypatch.setattr(state, "DATA", tmp_path / "usual")
    for name, mode in (("usual", 0o700), ("other", 0o755)):
        with StateFile(tmp_path / name).lock():
            assert (tmp_path / name).stat().st_mode & 0o777 == mode


def test_env_needs_a_running_stack(data: Path) -> None:
    """Without a stack `env` prints nothing but one line of regret."""
    command = [sys.executable, "-m", "deploy.local", "env", "--data", str(data)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "No stack of this checkout is running; start one: make up\n"


@pytest.mark.parametrize("kind", [Mongod, Redis, Nats])
def test_an_embedded_server_keeps_its_port(kind: type[EmbeddedServer], tmp_path: Path) -> None:
    """A server that was killed comes back at the same address."""
    with kind(tmp_path) as server:
        url = server.url
        server.kill()
        assert not server.running
        assert server.start().url == url


def test_mongod_keeps_its_data_on_another_port(tmp_path: Path) -> None:
    """Data of a one-node replica set can be served from whatever port is free."""
    with Mongod(tmp_path) as mongod, MongoClient[dict[str, int]](mongod.url) as client:
        client.booking.things.insert_one({"thing": 1})
    with Mongod(tmp_path, port=free_port()) as moved, MongoClient[dict[str, int]](moved.url) as client:
        assert moved.port != mongod.port
        assert client.booking.things.count_documents({"thing": 1}) == 1
        client.booking.things.insert_one({"thing": 2})


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """Two servers cannot share their data, and the second one says so in one line."""
    with Mongod(tmp_path), pytest.raises(Exception, match="mongod does not start: .*DBPathInUse") as refused:
        Mongod(tmp_path, log_file=tmp_path / "second.log").start()
    assert "\n" not in str(refused.value)
