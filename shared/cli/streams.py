"""Replace standard output and standard error by streams whose failed write never changes the exit code."""

import os
import sys
from errno import EPIPE
from io import BufferedWriter, RawIOBase, TextIOWrapper
from typing import Any


class TolerantStream(RawIOBase):
    """A byte stream that records the error of a failed write instead of raising it.

    A booking stays made if the disk is full or the reader of a pipe has gone, so the exit code stays too.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        if self.error is None:
            try:
                written: int | None = self._stream.write(data)
            except OSError as error:
                self.error = error
            else:
                return written or 0
        return len(data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        descriptor: int = self._stream.fileno()
        return descriptor

    def isatty(self) -> bool:
        is_terminal: bool = self._stream.isatty()
        return is_terminal


def install() -> None:
    """Replace stdout and stderr of this process; characters that the encoding lacks are escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # the parent process closed it
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115
            continue
        raw = TolerantStream(getattr(stream.buffer, "raw", stream.buffer))
        text = TextIOWrapper(
            BufferedWriter(raw), stream.encoding, "backslashreplace", line_buffering=stream.line_buffering
        )
        setattr(sys, name, text)


def lost() -> OSError | None:
    """Return the error of the first failed write to stdout."""
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.error if isinstance(raw, TolerantStream) else None


def finish() -> None:
    """Print on stderr that output was lost, unless the reader closed the pipe."""
    error = lost()
    if error and error.errno != EPIPE:
        print(f"The output could not be written: {error.strerror}", file=sys.stderr, flush=True)
