"""Deadlines: the time after which a worker must not start a command."""

import re
import time
from dataclasses import dataclass

from .errors import DeadlinePassed, InvalidRequest
from .headers import DEADLINE

LONGEST_TIMEOUT_SECONDS = 60
"""The largest `REQUEST_TIMEOUT_SECONDS`: the latest deadline of an attempt after its caller asked."""

_UNIX_MILLISECONDS = re.compile(r"[0-9]{1,15}")


def is_unix_milliseconds(text: str) -> bool:
    """Return whether a header value is a Unix time in milliseconds."""
    return _UNIX_MILLISECONDS.fullmatch(text) is not None


@dataclass(frozen=True)
class Deadline:
    """A time of the wall clock, in Unix milliseconds. Host clocks are assumed within 250 ms of each other."""

    unix_ms: int

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the deadline `seconds` from now."""
        return cls(int((time.time() + seconds) * 1000))

    @classmethod
    def from_header(cls, value: str | None, longest_seconds: float) -> "Deadline":
        """Read the header of a command. An absent or later deadline becomes `longest_seconds` from now.

        The bound limits how long a command may wait, because commands of all callers share batches.

        Raises:
            InvalidRequest: the header is not a Unix time in milliseconds.
        """
        if value is None:
            return cls.after(longest_seconds)
        if not is_unix_milliseconds(value):
            raise InvalidRequest(f"{DEADLINE} header must be a Unix time in milliseconds")
        return cls(min(int(value), cls.after(longest_seconds).unix_ms))

    @property
    def remaining(self) -> float:
        """Seconds left; negative once the deadline has passed."""
        return self.unix_ms / 1000 - time.time()

    def check(self) -> None:
        """Refuse a command that is too late to start.

        Raises:
            DeadlinePassed: no time is left.
        """
        if self.remaining <= 0:
            raise DeadlinePassed
