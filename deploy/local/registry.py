"""Where the stacks of this user have their data: so `env` finds one whatever `--data` it was started with."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def registered(data: Path) -> Iterator[None]:
    """Note that a stack has its data there. What a supervisor that is killed has noted stays."""
    entry = _folder() / hashlib.sha256(os.fsencode(data)).hexdigest()
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
    return Path(os.environ.get("XDG_STATE_HOME") or f"{home}/.local/state", "slotkeeper", "stacks")
