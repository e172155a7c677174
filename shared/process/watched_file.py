"""A file whose content is read again after it has changed, and its replacement."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

CHECK_SECONDS = 1.0
NEW_FILE_MODE = 0o600

ContentT = TypeVar("ContentT")

log = structlog.get_logger()


class InvalidFile(Exception):
    """A file cannot be read or is wrong. The message says in one line what to change, without a value."""


class WatchedFile(Generic[ContentT]):
    """The parsed content of a file, at most `CHECK_SECONDS` old.

    A file that has become wrong or unreadable is logged once, and its last content stays in use.

    Args:
        path: the file.
        parse: returns the content of the file's bytes, or raises InvalidFile.

    Raises:
        InvalidFile: the file is wrong now.
    """

    def __init__(self, path: Path, parse: Callable[[bytes], ContentT]) -> None:
        self._path, self._parse = path, parse
        self._seen = self._signature()
        self._content = parse(self._read())
        self._next_check = time.monotonic() + CHECK_SECONDS

    @property
    def content(self) -> ContentT:
        """The content. The disk is looked at once in `CHECK_SECONDS`: few requests pay for it."""
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + CHECK_SECONDS
            self._check()
        return self._content

    def _check(self) -> None:
        signature = self._signature()
        if signature == self._seen:
            return
        self._seen = signature
        try:
            self._content = self._parse(self._read())
        except InvalidFile as error:
            log.error("file_is_wrong", path=str(self._path), reason=str(error))
        else:
            log.info("file_reloaded", path=str(self._path))

    def _read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except OSError as error:
            raise InvalidFile(error.strerror or "cannot be read") from None

    def _signature(self) -> tuple[int, ...]:
        """Return what changes with the file: a renamed file, also behind a link, has another inode."""
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def replace_file(path: Path, text: str) -> None:
    """Replace a file at once: a reader sees the old one or the new one. Its mode stays; a new one is private.

    Raises:
        OSError
    """
    mode = path.stat().st_mode & 0o777 if path.exists() else NEW_FILE_MODE
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
