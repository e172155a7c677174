"""The clock of a process, which libfaketime sets: a library that is loaded into the process.

Where it is not installed, or does not work, the clock stays as it is.
"""

from importlib.util import find_spec
from pathlib import Path


class Clock:
    """A wall clock that follows a file; the monotonic clock stays right."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def available(self) -> bool:
        """Whether libfaketime is installed."""
        return _find_library() is not None

    def environment(self) -> dict[str, str]:
        """The variables that a process is started with, whose clock this is to be."""
        library = _find_library()
        if library is None:
            return {}
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, ahead: int) -> None:
        """Set it so many seconds ahead; the process follows within a second."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead:+}")
        new.replace(self._file)


def _find_library() -> Path | None:
    package = find_spec("libfaketime")
    folders = package.submodule_search_locations if package else None
    found = Path(folders[0], "vendor", "libfaketime", "src", "libfaketime.so.1") if folders else None
    return found if found and found.is_file() else None
