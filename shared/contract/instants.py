"""Instants: parsed strictly and written in one form, so that equal instants are the same slot."""

import re
from datetime import UTC, datetime
from functools import lru_cache

_ISO_8601 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.(?P<fraction>[0-9]{1,9}))?)?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
# The same for JSON Schema, which has no named groups. It accepts fields out of range, such as month 13.
INSTANT_PATTERN = (
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    "T[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,3}0{0,6})?)?"
    "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
OUT_OF_RANGE = "must be a time that exists, between the years 1 and 9999 in UTC"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND_DIGITS = 3


def parse_instant(text: str) -> datetime:
    """Read an ISO 8601 time with an offset, for example `2025-12-05T10:00:00+02:00`.

    Returns:
        The same instant in UTC, in whole milliseconds.

    Raises:
        ValueError: the text is a sentence for the caller that begins with "must".
    """
    match = _ISO_8601.fullmatch(text)
    if match is None:
        raise ValueError("must be an ISO 8601 time with an offset, for example 2025-12-05T10:00:00Z")
    if (match["fraction"] or "")[_MILLISECOND_DIGITS:].strip("0"):
        raise ValueError("must not be finer than a millisecond")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(OUT_OF_RANGE) from None


def instant_of(value: datetime) -> datetime:
    """Convert an aware `datetime` to UTC.

    Raises:
        ValueError: as `parse_instant`; also for a local time that a clock change of its zone skips.
    """
    if value.tzinfo is UTC:
        return value
    try:
        instant = value.astimezone(UTC)
        local = instant.astimezone(value.tzinfo)
    except (ValueError, OverflowError):
        raise ValueError(OUT_OF_RANGE) from None
    if local.replace(tzinfo=None) != value.replace(tzinfo=None):
        raise ValueError("must be a time that exists in its zone, whose clocks skip it")
    return instant


@lru_cache(maxsize=1024)  # the same slot and time are written several times in a batch
def format_instant(instant: datetime) -> str:
    """Write an aware time as `2025-12-05T10:00:00.000Z`."""
    in_utc = instant if instant.tzinfo is UTC else instant.astimezone(UTC)
    return in_utc.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def unix_milliseconds(instant: datetime) -> int:
    """Return the milliseconds from the Unix epoch to `instant`, exactly (a float would lose digits)."""
    since = instant - EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
