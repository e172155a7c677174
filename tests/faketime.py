"""Find the library `libfaketime`, which gives a process another clock."""

from importlib.util import find_spec
from pathlib import Path


def find_faketime() -> Path | None:
    """Return the shared library to preload, or None if it is not installed."""
    package = find_spec("libfaketime")
    folders = package.submodule_search_locations if package else None
    found = Path(folders[0], "vendor", "libfaketime", "src", "libfaketime.so.1") if folders else None
    return found if found and found.is_file() else None
