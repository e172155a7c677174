"""`askedAt`: when a caller asked. It orders requests, however late their attempts arrive.

All attempts of a request carry the same `askedAt`, in Unix milliseconds of the sender's clock.
"""

import time

from .deadline import LONGEST_TIMEOUT_SECONDS, is_unix_milliseconds
from .errors import InvalidRequest
from .headers import ASKED_AT

CLOCK_SKEW_MS = 250
"""The largest difference between the clocks of two hosts that the service assumes."""
LATE_WRITE_SECONDS = 5
"""How long after its deadline MongoDB may still execute a write."""
LATEST_ATTEMPT_SECONDS = LONGEST_TIMEOUT_SECONDS + 2 * CLOCK_SKEW_MS / 1000 + LATE_WRITE_SECONDS
"""How long after the answer to a request an earlier attempt of it can still take effect."""


def unix_ms_now() -> int:
    """Return the current time of this host's clock, in Unix milliseconds."""
    return time.time_ns() // 1_000_000


def read_asked_at(value: str | None) -> int | None:
    """Read the header `Asked-At` of a command; None if it is absent.

    Raises:
        InvalidRequest: the header is not a Unix time in milliseconds.
    """
    if value is None:
        return None
    if not is_unix_milliseconds(value):
        raise InvalidRequest(f"{ASKED_AT} header must be a Unix time in milliseconds")
    return int(value)


def accept_asked_at(asked_at: int | None, received_at: int) -> int:
    """Return `asked_at`, or `received_at` if it is absent or later than clock skew explains (Unix ms)."""
    if asked_at is None or asked_at > received_at + CLOCK_SKEW_MS:
        return received_at
    return asked_at
