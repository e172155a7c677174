"""Slots for loads."""

from datetime import UTC, datetime, timedelta
from itertools import count

_FIRST = datetime(2031, 1, 1, tzinfo=UTC)
_DAYS = count()


def next_day() -> datetime:
    """A day whose milliseconds no load has asked for yet."""
    return _FIRST + timedelta(days=next(_DAYS))
