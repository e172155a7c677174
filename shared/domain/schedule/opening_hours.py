"""Compute the opening hours of a schedule as instants.

A resource is open at an instant if the clock on its wall then shows a time within the hours of the local day.
So an hour that a clock change skips is never open, and an hour that it repeats is open twice.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from functools import lru_cache

import holidays

from shared.contract.errors import InvalidRequest
from shared.contract.schedule_fields import WEEKDAYS
from shared.contract.schedules import Schedule, ScheduleException
from shared.domain.grid import MINUTE_MS
from shared.domain.schedule.zones import (
    MARGIN_MS,
    Segment,
    local_time,
    read_zone,
    segments_of,
    wall_midnight,
)

Span = tuple[int, int]
"""The time from an instant to before another (Unix ms)."""
# Far enough from the years 1 and 9999 for local times, which `datetime` bounds too.
_EARLIEST, _LATEST = wall_midnight(date(2, 1, 1)), wall_midnight(date(9999, 1, 1))
WallHours = tuple[tuple[int, int], ...]
"""Hours of a day: the begins and ends in minutes of the wall clock, in order."""


class OpeningHours:
    """A `schedule` with its time zone `zone` and its opening hours as instants.

    Raises:
        InvalidRequest: the schedule names an unknown time zone, country or part of a country.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.zone = read_zone(schedule.timeZone)
        self._weekly = [
            _sorted(hours.minutes for hours in schedule.weekly if day in hours.days) for day in WEEKDAYS
        ]
        exceptions = schedule.exceptions
        self._dates = {one.date: _hours_of(one) for one in exceptions if one.date}
        self._holidays = [
            (one.holidays, one.subdivision, _hours_of(one)) for one in exceptions if one.holidays
        ]
        for number, one in enumerate(exceptions):
            if one.holidays and not _is_known(one.holidays, one.subdivision):
                field = "holidays" if not _is_known(one.holidays, None) else "subdivision"
                raise InvalidRequest(f"exceptions[{number}].{field} has no known public holidays")

    def of_day(self, day: date) -> WallHours:
        """Return the hours of a local day."""
        if day in self._dates:
            return self._dates[day]
        for country, subdivision, hours in self._holidays:
            if day in _holidays_of(country, subdivision, day.year):
                return hours
        return self._weekly[day.weekday()]

    def openings(self, start: int, end: int) -> list[Span]:
        """Return the openings that overlap a time (Unix ms), whole and in order.

        Each interval of a day's hours is an opening by itself, even if the next one follows without a gap.
        """
        start, end = max(start, _EARLIEST), min(end, _LATEST)
        if start >= end:
            return []
        segments = segments_of(self.zone, start - MARGIN_MS, end + MARGIN_MS)
        day = local_time(self.zone, start).date() - timedelta(days=1)
        last = local_time(self.zone, end).date() + timedelta(days=1)
        found: list[Span] = []
        while day <= last:
            midnight = wall_midnight(day)
            for begin, close in self.of_day(day):
                found += _instants(segments, midnight + begin * MINUTE_MS, midnight + close * MINUTE_MS)
            day += timedelta(days=1)
        return sorted(span for span in found if span[0] < end and span[1] > start)


def merged(spans: Iterable[Span]) -> list[Span]:
    """Join spans that overlap or touch."""
    joined: list[Span] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((begin, end))
    return joined


def _instants(segments: Sequence[Segment], begin: int, end: int) -> list[Span]:
    """Return when a wall clock shows a time from `begin` to before `end` (ms, as if it showed UTC)."""
    return merged(
        (max(one.start, begin - one.offset), min(one.end, end - one.offset))
        for one in segments
        if begin - one.offset < one.end and end - one.offset > one.start
    )


def _sorted(hours: Iterable[tuple[int, int]]) -> WallHours:
    return tuple(sorted(hours))


def _hours_of(exception: ScheduleException) -> WallHours:
    return _sorted(hours.minutes for hours in exception.hours)


@lru_cache(maxsize=256)
def _holidays_of(country: str, subdivision: str | None, year: int) -> frozenset[date]:
    return frozenset(holidays.country_holidays(country, subdiv=subdivision, years=year))


@lru_cache(maxsize=256)
def _is_known(country: str, subdivision: str | None) -> bool:
    try:
        holidays.country_holidays(country, subdiv=subdivision)
    except NotImplementedError:
        return False
    return True
