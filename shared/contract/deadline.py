"""Deadlines: the moment after which a command must not be started any more."""

import re
import time
from dataclasses import dataclass

from .errors import DeadlinePassed, InvalidRequest
from .headers import DEADLINE

LONGEST_TIMEOUT_SECONDS = 60
"""What `REQUEST_TIMEOUT_SECONDS` is at most: no attempt is due later than this after its caller asked."""

_UNIX_MILLISECONDS = re.compile(r"[0-9]{1,15}")


def is_unix_milliseconds(text: str) -> bool:
    """Whether a header's value is a Unix time in milliseconds."""
    return _UNIX_MILLISECONDS.fullmatch(text) is not None


@dataclass(frozen=True)
class Deadline:
    """A moment of the wall clock, which hosts share within 250 ms; `unix_ms` is in milliseconds."""

    unix_ms: int

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """The moment `seconds` from now."""
        return cls(int((time.time() + seconds) * 1000))

    @classmethod
    def from_header(cls, value: str | None, longest_seconds: float) -> "Deadline":
        """Read the header of a command: at most `longest_seconds` from now, and that where there is none.

        Bounded, since commands of all callers are committed together and wait for each other.

        Raises:
            InvalidRequest: the header is no Unix time in milliseconds.
        """
        if value is None:
            return cls.after(longest_seconds)
        if not is_unix_milliseconds(value):
            raise InvalidRequest(f"{DEADLINE} header must be a Unix time in milliseconds")
        return cls(min(int(value), cls.after(longest_seconds).unix_ms))

    @property
    def remaining(self) -> float:
        """Seconds left, negative once passed."""
        return self.unix_ms / 1000 - time.time()

    def check(self) -> None:
        """Refuse a command that is too late to start.

        Raises:
            DeadlinePassed
        """
        if self.remaining <= 0:
            raise DeadlinePassed
