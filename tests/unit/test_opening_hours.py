"""Opening hours as instants, on days with and without a clock change."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contract.errors import InvalidRequest
from shared.contract.instants import EPOCH, parse_instant, unix_milliseconds
from shared.contract.schedule_fields import WEEKDAYS
from shared.contract.schedules import Schedule
from shared.domain.schedule import opening_hours
from shared.domain.schedule.free_starts import offered_starts, why_not_offered
from shared.domain.schedule.opening_hours import OpeningHours
from shared.domain.schedule.zones import Segment

MINUTE = 60_000
# A zone, the local day of a clock change (or an odd day), and how long the day is (hours).
DAYS = [
    ("Europe/Berlin", date(2026, 3, 29), 23.0),
    ("Europe/Berlin", date(2026, 10, 25), 25.0),
    ("America/New_York", date(2026, 3, 8), 23.0),
    ("America/New_York", date(2026, 11, 1), 25.0),
    ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
    ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
    ("Antarctica/Troll", date(2026, 3, 29), 22.0),
    ("Antarctica/Troll", date(2026, 10, 25), 26.0),
    ("Pacific/Chatham", date(2026, 9, 27), 23.0),
    ("Pacific/Chatham", date(2026, 4, 5), 25.0),
    ("America/Santiago", date(2026, 9, 6), 23.0),  # midnight does not exist
    ("America/Santiago", date(2026, 4, 4), 25.0),
    ("Africa/Casablanca", date(2026, 2, 15), 25.0),
    ("Africa/Casablanca", date(2026, 3, 22), 23.0),
    ("Pacific/Apia", date(2011, 12, 30), 0.0),  # the day does not exist
    ("Pacific/Apia", date(2011, 12, 31), 24.0),
    ("Asia/Kolkata", date(2026, 3, 29), 24.0),
    ("Asia/Kolkata", date(2026, 10, 25), 24.0),
    ("Pacific/Kiritimati", date(1994, 12, 31), 0.0),
    ("Pacific/Kiritimati", date(2026, 3, 29), 24.0),
    ("America/Havana", date(2026, 3, 8), 23.0),
    ("America/Havana", date(2026, 11, 1), 25.0),
]
few = settings(max_examples=20, deadline=None)  # for each of the days below
by_day = pytest.mark.parametrize(("zone", "day", "length"), DAYS, ids=str)


def schedule_of(zone: str, *hours: tuple[str, str], **more: Any) -> Schedule:
    weekly = [{"days": list(WEEKDAYS), "from": begin, "to": end} for begin, end in hours]
    return Schedule.model_validate({"title": "A", "timeZone": zone, "weekly": weekly, **more})


def hours_of(zone: str, *hours: tuple[str, str], **more: Any) -> OpeningHours:
    return OpeningHours(schedule_of(zone, *hours, **more))


def at(text: str) -> int:
    return unix_milliseconds(parse_instant(text))


def wall(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def around(day: date) -> tuple[int, int]:
    """Return a time (Unix ms) that has the whole local day in any zone, on both of its edges other days."""
    noon = unix_milliseconds(datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
    return noon - 48 * 60 * MINUTE, noon + 48 * 60 * MINUTE


def local(at: int, zone: str) -> datetime:
    return (EPOCH + timedelta(milliseconds=at)).astimezone(ZoneInfo(zone))


@by_day
def test_day_is_a_local_day(zone: str, day: date, length: float) -> None:
    """A resource that is closed on one date is closed from the local midnight to the next one."""
    start, end = around(day)
    always = sum(close - begin for begin, close in hours_of(zone, ("00:00", "24:00")).openings(start, end))
    closed = hours_of(zone, ("00:00", "24:00"), exceptions=[{"date": day.isoformat()}])
    without = sum(close - begin for begin, close in closed.openings(start, end))
    assert (always - without) / (60 * MINUTE) == length
    for begin, close in closed.openings(start, end):
        assert local(begin, zone).date() != day
        assert local(close - 1, zone).date() != day


@by_day
@few
@given(data=st.data())
def test_open_is_what_the_wall_clock_says(zone: str, day: date, length: float, data: st.DataObject) -> None:
    """At each minute around a clock change, a resource is open if the wall clock shows its hours.

    So an hour that does not exist is never open, and an hour that exists twice is open twice.
    """
    begin = data.draw(st.integers(0, 24 * 60 - 1), "begin")
    end = data.draw(st.integers(begin + 1, 24 * 60), "end")
    start, stop = around(day)
    spans = hours_of(zone, (wall(begin), wall(end))).openings(start, stop)
    for minute in range(start, stop, 11 * MINUTE):
        now = local(minute, zone)
        is_open = any(first <= minute < last for first, last in spans)
        assert is_open == (begin <= now.hour * 60 + now.minute < end), now


@by_day
@few
@given(
    step=st.integers(5, 180),
    minutes=st.integers(1, 300),
    begin=st.integers(0, 12 * 60),
    length_of=st.integers(30, 12 * 60),
)
def test_offered_start_exists_and_fits(
    zone: str, day: date, length: float, *, step: int, minutes: int, begin: int, length_of: int
) -> None:
    """Every offered start has its wall clock in the hours, and is not refused; its neighbours are refused."""
    hours = hours_of(zone, (wall(begin), wall(begin + length_of)), stepMinutes=step)
    start, stop = around(day)
    starts = offered_starts(hours, (start, stop), minutes, start)
    for offered in starts:
        now = local(offered, zone)
        assert now.astimezone(UTC).astimezone(now.tzinfo).replace(fold=0) == now.replace(fold=0)
        assert begin <= now.hour * 60 + now.minute < begin + length_of
        assert why_not_offered(hours, offered, minutes, start) is None
    assert starts == sorted(set(starts))
    for probe in range(start, stop, 353 * MINUTE):
        if probe not in starts:
            assert why_not_offered(hours, probe, minutes, start) in ("closed", "not_a_start")


def test_both_hours_that_exist_twice_are_offered() -> None:
    """On the last Sunday of October, 02:00 to 03:00 in Berlin is offered twice."""
    hours = hours_of("Europe/Berlin", ("02:00", "03:00"), stepMinutes=30)
    starts = offered_starts(hours, (at("2026-10-24T22:00:00Z"), at("2026-10-25T23:00:00Z")), 30, 0)
    assert starts == [at(f"2026-10-25T0{time}:00Z") for time in ("0:00", "0:30", "1:00", "1:30")]


def test_part_of_a_repeated_hour_is_two_openings() -> None:
    """02:00 to 02:30 on that day is open twice, with a gap of half an hour."""
    spans = hours_of("Europe/Berlin", ("02:00", "02:30")).openings(
        at("2026-10-24T23:00:00Z"), at("2026-10-25T05:00:00Z")
    )
    assert spans == [
        (at("2026-10-25T00:00:00Z"), at("2026-10-25T00:30:00Z")),
        (at("2026-10-25T01:00:00Z"), at("2026-10-25T01:30:00Z")),
    ]


def test_skipped_hour_is_not_offered() -> None:
    """On the last Sunday of March, 02:00 to 03:00 in Berlin is never open."""
    hours = hours_of("Europe/Berlin", ("02:00", "03:00"))
    assert hours.openings(at("2026-03-28T12:00:00Z"), at("2026-03-29T12:00:00Z")) == []
    assert why_not_offered(hours, at("2026-03-29T01:00:00Z"), 15, 0) == "closed"


def test_lost_day_is_skipped() -> None:
    """Apia went from 29 to 31 December 2011: a booking may cross that midnight."""
    hours = hours_of("Pacific/Apia", ("00:00", "24:00"), stepMinutes=60)
    starts = offered_starts(hours, (at("2011-12-30T09:00:00Z"), at("2011-12-30T12:00:00Z")), 120, 0)
    assert [local(start, "Pacific/Apia").isoformat() for start in starts] == [
        "2011-12-29T23:00:00-10:00",
        "2011-12-31T00:00:00+14:00",
        "2011-12-31T01:00:00+14:00",
    ]


def test_public_holidays_close() -> None:
    """A public holiday has the hours of its exception, and the exception of the date counts before it."""
    exceptions = [{"holidays": "DE", "subdivision": "BY"}, {"date": "2030-12-26", "hours": [HOUR]}]
    hours = hours_of("Europe/Berlin", ("09:00", "12:00"), exceptions=exceptions)
    assert hours.of_day(date(2030, 1, 6)) == ()  # a holiday in Bavaria alone
    assert hours.of_day(date(2030, 12, 25)) == ()
    assert hours.of_day(date(2030, 12, 26)) == ((10 * 60, 11 * 60),)
    assert hours.of_day(date(2030, 12, 27)) == ((9 * 60, 12 * 60),)


HOUR = {"from": "10:00", "to": "11:00"}


@pytest.mark.parametrize(
    ("schedule", "sentence"),
    [
        (
            schedule_of("Europe/Atlantis"),
            "timeZone must be an IANA time zone, for example Europe/Berlin",
        ),
        (
            schedule_of("UTC", exceptions=[{"date": "2030-01-01"}, {"holidays": "XX"}]),
            "exceptions[1].holidays has no known public holidays",
        ),
        (
            schedule_of("UTC", exceptions=[{"holidays": "DE", "subdivision": "QQ"}]),
            "exceptions[0].subdivision has no known public holidays",
        ),
    ],
)
def test_unknown_name_is_refused(schedule: Schedule, sentence: str) -> None:
    """A schedule with an unknown zone, country or part of a country is refused with its place."""
    with pytest.raises(InvalidRequest) as refused:
        OpeningHours(schedule)
    assert refused.value.text == sentence


def test_control_hours_without_clock_changes_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one offset for all of the window, the skipped hour would be offered."""

    def one_offset(_zone: ZoneInfo, start: int, end: int) -> list[Segment]:
        return [Segment(start, end, 60 * MINUTE)]

    monkeypatch.setattr(opening_hours, "segments_of", one_offset)
    hours = hours_of("Europe/Berlin", ("02:00", "03:00"))
    assert hours.openings(at("2026-03-28T12:00:00Z"), at("2026-03-29T12:00:00Z"))
