"""Start services by forking a process that has imported them.

A service imports for a second and a half of CPU time before it does anything, and tests start hundreds of
them. So the first start of a service starts a nursery: a process that imports the modules of that service
once. Each start forks the nursery, and the child runs the service's `__main__` as `python -m` does. Each
service still has a process, a session, an environment and an output of its own.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import IO

from deploy.local.process import ROOT

EXEC_PREFIXES = ("LD_", "PYTHON")
"""The variables that a process reads once, as it is executed."""


def can_fork(environment: Mapping[str, str]) -> bool:
    """Return whether a fork of a process of these tests can have this environment."""
    return sys.platform == "linux" and _of_exec(environment) == _of_exec(os.environ)


def _of_exec(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(EXEC_PREFIXES)}


def run(
    module: str, *arguments: str, environment: Mapping[str, str], stdin: str = "", seconds: float
) -> "subprocess.CompletedProcess[str]":
    """Run a module until it ends, as `python -m` does; return its exit code and output.

    Raises:
        TimeoutExpired: it has not ended after `seconds`, and was killed.
    """
    with TemporaryFile() as given, TemporaryFile() as output, TemporaryFile() as errors:
        given.write(stdin.encode())
        given.seek(0)
        if can_fork(environment):
            imported = f"{module}.__main__" if find_spec(f"{module}.__main__") else "runpy"
            files = (given, output, errors)
            process: subprocess.Popen[bytes] = _fork(module, arguments, environment, files, imported)
        else:
            command = [sys.executable, "-m", module, *arguments]
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=given, stdout=output, stderr=errors
            )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(module, code, output.read().decode(), errors.read().decode())


def fork(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    output: IO[bytes],
    *,
    imported: str,
) -> "Forked":
    """Run a module, as `python -m` does.

    Args:
        module: the module or package.
        arguments: the command line after the module.
        environment: all environment variables.
        output: receives stdout and stderr.
        imported: the module to import beforehand.
    """
    with Path(os.devnull).open("rb") as nothing:
        return _fork(module, arguments, environment, (nothing, output, output), imported)


def _fork(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    files: Sequence[IO[bytes]],
    imported: str,
) -> "Forked":
    with _lock:
        nursery = _nursery(module, imported)
    return nursery.fork(arguments, environment, files)


class Forked(subprocess.Popen[bytes]):
    """A forked process. Its parent is the nursery, which sends its exit code."""

    def __init__(self, pid: int, exit_code: int) -> None:
        """`exit_code`: the file descriptor from which the exit code can be read."""
        self.args, self.pid = str(pid), pid
        self.returncode: int | None = None
        self.stdin = self.stdout = self.stderr = None
        self._child_created = False  # for the destructor: there is nothing to wait for
        self._exit_code = exit_code

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _look(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._exit_code], [], [], seconds)[0]:
            self.returncode = int(os.read(self._exit_code, 16) or -signal.SIGKILL)
            os.close(self._exit_code)
        return self.returncode


class _Nursery:
    """A process that has imported a module, and forks to run a module."""

    def __init__(self, module: str, imported: str) -> None:
        self._lock = Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.nursery", str(theirs.fileno()), module, imported],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        atexit.register(self.close)

    def fork(
        self, arguments: Sequence[str], environment: Mapping[str, str], files: Sequence[IO[bytes]]
    ) -> Forked:
        request = json.dumps({"arguments": arguments, "environment": dict(environment)}).encode()
        exit_code, theirs = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._socket, [request], [*(each.fileno() for each in files), theirs])
                return Forked(int(self._socket.recv(16)), exit_code)
        finally:
            os.close(theirs)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


_nursery = cache(_Nursery)
_lock = Lock()
