"""Where the stacks of this checkout have their data, so that `env` finds one with `--data` too.

Each checkout has a list of its own: `kill "$SUPERVISOR_PID"` must never stop the stack of another one.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy.local.process import ROOT


@contextmanager
def registered(data: Path) -> Iterator[None]:
    """Note that a stack has its data there. What a supervisor that is killed has noted stays."""
    entry = _folder() / _name_of(data)
    with suppress(OSError):  # without a home that can be written to, `--data` finds the stack
        entry.parent.mkdir(parents=True, exist_ok=True)
        entry.write_bytes(os.fsencode(data))
    try:
        yield
    finally:
        with suppress(OSError):
            entry.unlink()


def registered_folders() -> list[Path]:
    """The data directories of the stacks that run, and of some that were killed."""
    folders = []
    for entry in _folder().glob("*"):
        with suppress(OSError):  # it may go at this moment
            folders.append(Path(os.fsdecode(entry.read_bytes())))
    return sorted(folders)


def _folder() -> Path:
    """Where the XDG Base Directory Specification has the state of programs."""
    home = os.environ.get("HOME") or "/nonexistent"
    state = os.environ.get("XDG_STATE_HOME") or f"{home}/.local/state"
    return Path(state, "slotkeeper", "stacks", _name_of(ROOT))


def _name_of(folder: Path) -> str:
    return hashlib.sha256(os.fsencode(folder)).hexdigest()
