"""`make env` and `make prove` find the stack that runs, and no other."""

import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from deploy.local import env, registry, state
from deploy.local.errors import StackError
from deploy.local.recorded import RecordedProcess
from deploy.local.registry import registered
from deploy.local.state import State, StateFile
from tests.integration.local_stack.stack import LocalStack, shown, state_home
from tests.proof.race.addresses import Addresses, of_local_stack


def test_the_commands_on_the_screen_find_their_own_stack(data: Path) -> None:
    """The commands that a stack with `--data` prints on its screen refer to that stack."""
    stack = LocalStack(data).ready()
    assert shown(stack.output, "Prove that it cannot double-book") == f'make prove ARGS="--url {stack.url}"'
    env_command = shlex.split(shown(stack.output, "Addresses and process ids"))
    printed = subprocess.run(env_command, capture_output=True, text=True, check=True).stdout
    assert f"GATEWAY_URL={stack.url}\n" in printed
    assert shown(stack.output, "Stop") == f"Ctrl-C, or: kill {stack.process.pid}"
    stack.stop()


def test_a_stack_with_its_own_data_directory_is_found(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make env` and `make prove` find a stack with `--data`, even after its supervisor was killed."""
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


def test_among_several_stacks_one_has_to_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack on `.local` is found first; among several other stacks `--data` has to choose one."""
    monkeypatch.setattr(env, "DATA", tmp_path / "a")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    this_process = RecordedProcess.now("supervisor", os.getpid())
    with registered(tmp_path / "a"), registered(tmp_path / "b"), registered(tmp_path / "c"):
        for name in ("a", "b", "c"):
            (tmp_path / name).mkdir()
            StateFile(tmp_path / name).write(State(this_process, dict.fromkeys(env.ADDRESSES, name)))
        assert env.find_stack().addresses["GATEWAY_URL"] == "a"
        StateFile(tmp_path / "a").remove()
        with pytest.raises(StackError, match=f"choose one with --data: {tmp_path / 'b'}, {tmp_path / 'c'}$"):
            env.find_stack()
        assert env.find_stack(tmp_path / "c").addresses["GATEWAY_URL"] == "c"


def test_a_copied_directory_has_no_stack(tmp_path: Path) -> None:
    """A copy of a checkout with its data neither finds nor stops the stack of the original."""
    this_process = RecordedProcess.now("supervisor", os.getpid())
    (tmp_path / "original").mkdir()
    StateFile(tmp_path / "original").write(
        State(this_process, dict.fromkeys(env.ADDRESSES, "here"), [this_process])
    )
    shutil.copytree(tmp_path / "original", tmp_path / "copy")
    assert env.find_stack(tmp_path / "original").supervisor == this_process
    assert StateFile(tmp_path / "copy").read() is None
    with pytest.raises(StackError, match="No stack of this checkout is running"):
        env.find_stack(tmp_path / "copy")


@pytest.mark.parametrize("before", ["", "SUPERVISOR_PID=1; GATEWAY_URL=http://another; "])
def test_env_without_a_stack_prints_nothing_for_a_shell(data: Path, before: str) -> None:
    """`env` without a stack fails and prints nothing to stdout, so a shell stops at `&&`."""
    command = shlex.join([sys.executable, "-m", "deploy.local", "env", "--data", str(data)])
    script = f'{before}stack=$({command}) && eval "$stack" && echo "would stop $SUPERVISOR_PID"'
    result = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")


def test_the_default_data_directory_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stack makes an existing `.local` private, and keeps the mode of any other directory."""
    for name in ("usual", "other"):
        (tmp_path / name).mkdir(0o755)
    monkeypatch.setattr(state, "DATA", tmp_path / "usual")
    for name, mode in (("usual", 0o700), ("other", 0o755)):
        with StateFile(tmp_path / name).lock():
            assert (tmp_path / name).stat().st_mode & 0o777 == mode


def test_env_without_a_stack_prints_one_line_to_stderr(data: Path) -> None:
    """`env` without a stack exits with 1 and prints one line that names `make up`."""
    command = [sys.executable, "-m", "deploy.local", "env", "--data", str(data)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "No stack of this checkout is running; start one: make up\n"
