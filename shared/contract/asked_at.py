"""The moment when a caller asked for something, which orders the requests of a caller however late they come.

All attempts of a request carry the same `askedAt`, in Unix milliseconds of the sender's clock.
"""

import time

from .deadline import LONGEST_TIMEOUT_SECONDS, is_unix_milliseconds
from .errors import InvalidRequest
from .headers import ASKED_AT

CLOCK_SKEW_MS = 250
"""How far the clocks of two hosts may differ."""
LATE_WRITE_SECONDS = 5
"""How long after its deadline a write may still be carried out."""
LATEST_ATTEMPT_SECONDS = LONGEST_TIMEOUT_SECONDS + 2 * CLOCK_SKEW_MS / 1000 + LATE_WRITE_SECONDS
"""How long after a request was answered an earlier attempt of it can still come."""


def unix_ms_now() -> int:
    """The present moment of this host's clock."""
    return time.time_ns() // 1_000_000


def read_asked_at(value: str | None) -> int | None:
    """Read the header `Asked-At` of a command; None if it is absent.

    Raises:
        InvalidRequest: the header is no Unix time in milliseconds.
    """
    if value is None:
        return None
    if not is_unix_milliseconds(value):
        raise InvalidRequest(f"{ASKED_AT} header must be a Unix time in milliseconds")
    return int(value)


def accept_asked_at(asked_at: int | None, received_at: int) -> int:
    """`asked_at`, or the receipt if it is absent or so late that no clock may say it."""
    if asked_at is None or asked_at > received_at + CLOCK_SKEW_MS:
        return received_at
    return asked_at
