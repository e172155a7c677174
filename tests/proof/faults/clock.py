"""The clock of a process, which libfaketime sets: a library that is loaded into the process.

Where it is not installed, or does not work, the clock stays as it is.
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
        """The variables that a process is started with, whose clock this is to be."""
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
        """Set it so many seconds ahead; the process follows within a second."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead:+}")
        new.replace(self._file)
