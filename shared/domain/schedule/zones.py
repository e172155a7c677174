"""Map local times to instants. A time that the clocks skip has no instant, a repeated one has two."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from zoneinfo import ZoneInfo

from shared.contract.errors import InvalidRequest
from shared.contract.instants import EPOCH

SECOND_MS = 1000
DAY_MS = 86_400_000
MARGIN_MS = 30 * 3_600_000
"""More than any offset from UTC, and more than the longest local day has."""
_LOOKS_MS = DAY_MS // 4
"""Between two looks at an offset lies at most one clock change."""


@dataclass(frozen=True)
class Segment:
    """The time from `start` to before `end` (Unix ms), in which the zone is `offset` (ms) ahead of UTC."""

    start: int
    end: int
    offset: int


def read_zone(name: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        InvalidRequest: there is no such zone.
    """
    if name not in _names():
        raise InvalidRequest("timeZone must be an IANA time zone, for example Europe/Berlin")
    return ZoneInfo(name)


def local_time(zone: ZoneInfo, at: int) -> datetime:
    """Return the local time at an instant (Unix ms)."""
    return (EPOCH + timedelta(milliseconds=at)).astimezone(zone)


def wall_midnight(day: date) -> int:
    """Return the begin of a day, as if the wall clock showed UTC (ms)."""
    return (day - EPOCH.date()).days * DAY_MS


def first_instant(zone: ZoneInfo, day: date) -> int:
    """Return the first instant (Unix ms) at which the local day is `day` or a later one."""
    midnight = wall_midnight(day)
    segments = segments_of(zone, midnight - MARGIN_MS, midnight + MARGIN_MS)
    begins = (max(one.start, midnight - one.offset) for one in segments if midnight - one.offset < one.end)
    return min(begins)


def segments_of(zone: ZoneInfo, start: int, end: int) -> Sequence[Segment]:
    """Split the time from `start` to before `end` (Unix ms) at the clock changes of a zone."""
    looks = [*range(start, end, _LOOKS_MS), end]
    changes = [
        _find_change(zone, one, other)
        for one, other in pairwise(looks)
        if _offset(zone, one) != _offset(zone, other)
    ]
    return [Segment(one, other, _offset(zone, one)) for one, other in pairwise([start, *changes, end])]


def _find_change(zone: ZoneInfo, before: int, after: int) -> int:
    """Return the first instant with the offset of `after`, to the second."""
    offset = _offset(zone, after)
    before, after = before // SECOND_MS, -(-after // SECOND_MS)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(zone, middle * SECOND_MS) == offset:
            after = middle
        else:
            before = middle
    return after * SECOND_MS


def _offset(zone: ZoneInfo, at: int) -> int:
    offset = local_time(zone, at).utcoffset()
    return round(offset.total_seconds() * 1000) if offset else 0


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(files("tzdata").joinpath("zones").read_text().split())
