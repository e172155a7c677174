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
from threading import Lock
from typing import BinaryIO

from deploy.local.process import ROOT

EXEC_PREFIXES = ("LD_", "PYTHON")
"""The variables that a process reads once, as it is executed."""


def can_fork(environment: Mapping[str, str]) -> bool:
    """Return whether a fork of a process of these tests can have this environment."""
    return sys.platform == "linux" and _of_exec(environment) == _of_exec(os.environ)


def _of_exec(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(EXEC_PREFIXES)}


def fork(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    output: BinaryIO,
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
    with _lock:
        nursery = _nursery(module, imported)
    return nursery.fork(arguments, environment, output)


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

    def fork(self, arguments: Sequence[str], environment: Mapping[str, str], output: BinaryIO) -> Forked:
        request = json.dumps({"arguments": arguments, "environment": dict(environment)}).encode()
        exit_code, theirs = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._socket, [request], [output.fileno(), theirs])
                return Forked(int(self._socket.recv(16)), exit_code)
        finally:
            os.close(theirs)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


_nursery = cache(_Nursery)
_lock = Lock()
