"""Register the data directories of this checkout's stacks, so that `env` finds a stack with `--data` too.

Every checkout has its own list: `kill "$SUPERVISOR_PID"` must never stop the stack of another checkout.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy.local.process import ROOT


@contextmanager
def registered(data: Path) -> Iterator[None]:
    """Register a stack's data directory while the context lasts. The entry of a killed supervisor stays."""
    entry = _folder() / _name_of(data)
    with suppress(OSError):  # without a writable home, `--data` finds the stack
        entry.parent.mkdir(parents=True, exist_ok=True)
        entry.write_bytes(os.fsencode(data))
    try:
        yield
    finally:
        with suppress(OSError):
            entry.unlink()


def registered_folders() -> list[Path]:
    """Return the data directories of running stacks, and of some that were killed."""
    folders = []
    for entry in _folder().glob("*"):
        with suppress(OSError):  # it may be removed at this moment
            folders.append(Path(os.fsdecode(entry.read_bytes())))
    return sorted(folders)


def _folder() -> Path:
    """Return the folder for the state of programs, as in the XDG Base Directory Specification."""
    home = os.environ.get("HOME") or "/nonexistent"
    state = os.environ.get("XDG_STATE_HOME") or f"{home}/.local/state"
    return Path(state, "slotkeeper", "stacks", _name_of(ROOT))


def _name_of(folder: Path) -> str:
    return hashlib.sha256(os.fsencode(folder)).hexdigest()
