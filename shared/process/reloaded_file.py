"""A file that is read again when it changes, for keys that are replaced while the service runs."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from shared.process.settings import Misconfigured

LOOK_SECONDS = 1.0

ValueT = TypeVar("ValueT")
Stamp = tuple[int, int, int]

log = structlog.get_logger()


class ReloadedFile(Generic[ValueT]):
    """The parsed content of a file. At most once a second, `value` looks whether the file has changed.

    Args:
        variable: the setting that names the file, for errors.
        path: the file.
        parse: parses the content. It raises a ValueError whose text names the wrong field, never its value.

    Raises:
        Misconfigured: the file cannot be read or parsed at the start. Later, the old content stays in force.
    """

    def __init__(self, variable: str, path: Path, parse: Callable[[bytes], ValueT]) -> None:
        self._variable = variable
        self._path = path
        self._parse = parse
        try:
            self._stamp, self._value = self._read()
        except (OSError, ValueError) as error:
            raise Misconfigured(f"{variable}: {_describe(error)}") from None
        self._looked = time.monotonic()

    @property
    def value(self) -> ValueT:
        """The content of the file, at most a second old."""
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._look()
        return self._value

    def _look(self) -> None:
        try:
            if _stamp_of(self._path) != self._stamp:
                self._stamp, self._value = self._read()
                log.info("file_read_again", variable=self._variable)
        except (OSError, ValueError) as error:
            log.error(
                "file_not_read", variable=self._variable, error=_describe(error), effect="old one stays"
            )

    def _read(self) -> tuple[Stamp, ValueT]:
        stamp = _stamp_of(self._path)  # before the content: a later change has another stamp
        return stamp, self._parse(self._path.read_bytes())


def _stamp_of(path: Path) -> Stamp:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _describe(error: OSError | ValueError) -> str:
    return error.strerror or "cannot be read" if isinstance(error, OSError) else str(error)
