"""Import a module, and fork for each request: `python -m tests.nursery SOCKET MODULE IMPORTED`.

A child runs MODULE as `python -m` does. See `tests.forking`.
"""

import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import time
from typing import Any

LARGEST_REQUEST = 2**18


def import_before(module: str) -> None:
    """Import a module; a `__main__` is imported again as it runs."""
    importlib.import_module(module)
    if module.endswith(".__main__"):
        del sys.modules[module]
    gc.collect()
    gc.freeze()  # else the collectors of the children write to these pages, and so copy them


def serve(requests: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Fork for each request and send the pid; send each child's exit code to the request's pipe.

    Returns:
        In a child, its request and its standard files; in this process, None once nobody can send a request.
    """
    exit_codes: dict[int, int] = {}
    ended, wakeup = os.pipe()
    for end in (ended, wakeup):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakeup)
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == ended:
                    os.read(ended, 1024)
                    reap(exit_codes)
                    continue
                data, descriptors, _, _ = socket.recv_fds(requests, LARGEST_REQUEST, 4)
                if not data:
                    return None
                *files, exit_code = descriptors
                if (pid := os.fork()) == 0:
                    requests.close()
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    return json.loads(data), files
                exit_codes[pid] = exit_code
                for file in files:
                    os.close(file)
                requests.send(str(pid).encode())


def reap(exit_codes: dict[int, int]) -> None:
    """Send the exit codes of the children that have ended."""
    while exit_codes:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        pipe = exit_codes.pop(pid)
        os.write(pipe, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(pipe)


def become(request: dict[str, Any], files: list[int]) -> None:
    """Give this process its own session, standard files and environment."""
    os.setsid()
    for standard, file in enumerate(files):
        os.dup2(file, standard)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    sys.argv[1:] = request["arguments"]


if __name__ == "__main__":
    _, descriptor, module, imported = sys.argv
    import_before(imported)
    child = serve(socket.socket(fileno=int(descriptor)))
    if child:
        become(*child)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
