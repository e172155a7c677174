"""The clock of a process, set with libfaketime, a library that is preloaded into the process.

Without an installed library that works, the clock stays right.
"""

from pathlib import Path

from tests.faketime import find_faketime


class Clock:
    """A wall clock that follows a file; the monotonic clock stays right."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def available(self) -> bool:
        """Whether libfaketime is installed."""
        return find_faketime() is not None

    def environment(self) -> dict[str, str]:
        """Return the environment variables that put a process on this clock."""
        library = find_faketime()
        if library is None:
            return {}
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, ahead: int) -> None:
        """Set the clock `ahead` seconds ahead; the process follows within a second."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead:+}")
        new.replace(self._file)
