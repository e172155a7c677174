"""The times that the command `slotkeeper` reads and prints."""

import os
import time
from datetime import UTC, date, datetime

import pytest
from typer import BadParameter

from shared.cli.times import format_time, read_day, read_slot, window
from shared.cli.watch import SlotOfResource, changes

NINE, TEN = (datetime(2031, 5, 4, hour, tzinfo=UTC) for hour in (9, 10))


pytestmark = pytest.mark.usefixtures("in_berlin")


@pytest.mark.parametrize(
    "text",
    [
        "2031-05-04 11:00",
        "2031-05-04T11:00:00",
        "2031-05-04T09:00Z",
        "2031-05-04 04:00-05:00",
        " 2031-05-04 11:00 ",
        "2031-05-04 11:00 +02:00",
        "04.05.2031 11:00",
        "4.5.2031 11:00:00.000",
        "04.05.2031 9:00Z",
    ],
)
def test_time_without_an_offset_is_in_the_local_zone(text: str) -> None:
    """All of these texts are one instant in a zone two hours ahead of UTC."""
    assert read_slot(text) == NINE


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("2031-03-30 02:30", "never that day"),
        ("2031-10-26 02:30", "twice that day"),
        ("tomorrow", "must be a time"),
        ("tomorrow 25:00", "must be a time"),
        ("someday 09:00", "must be a time"),
        ("31.02.2031 09:00", "must be a time"),
        ("04.05.2031", "must be a time"),
        ("2031-05-04 09:00:00.0001", "finer than a millisecond"),
        ("2031-05-04 09:00 Berlin", "with an offset"),
        ("9999-12-31 23:59", "beyond the calendar"),
        ("0001-01-01 00:00", "beyond the calendar"),
        ("2031-05-04", "must be a time"),
        ("2031-02-30 09:00", "must be a time"),
    ],
)
def test_impossible_or_ambiguous_time_is_refused(text: str, sentence: str) -> None:
    """The command never guesses a time at a change of the clocks."""
    with pytest.raises(BadParameter, match=sentence):
        read_slot(text)


def test_offset_selects_one_of_two_equal_clock_times() -> None:
    """With an offset, both occurrences of an ambiguous clock time can be written."""
    assert read_slot("2031-10-26 02:30+02:00") < read_slot("2031-10-26 02:30+01:00")


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (NINE, "2031-05-04 11:00 +02:00"),
        (datetime(2031, 12, 4, 9, 0, 1, tzinfo=UTC), "2031-12-04 10:00:01.000 +01:00"),
        (datetime(1885, 5, 4, 9, tzinfo=UTC), "1885-05-04 09:53:28.000 +00:53:28"),
        (datetime.max.replace(tzinfo=UTC), "9999-12-31T23:59:59.999Z"),
    ],
)
def test_time_is_printed_with_its_offset(instant: datetime, text: str) -> None:
    """The offset makes a printed time unambiguous."""
    assert format_time(instant) == text


def test_time_of_the_requested_day_is_printed_without_its_date() -> None:
    """A time of another day is printed with its date."""
    assert format_time(NINE, date(2031, 5, 4)) == "11:00 +02:00"
    assert format_time(NINE, date(2031, 5, 5)) == "2031-05-04 11:00 +02:00"


def test_day_has_its_local_length() -> None:
    """A day lasts from midnight to midnight: 23 or 25 hours at a change of the clocks."""
    assert window(date(2031, 3, 30), 1) == {
        "from": "2031-03-29T23:00:00.000Z",
        "to": "2031-03-30T22:00:00.000Z",
    }


@pytest.mark.parametrize(
    ("zone", "day", "begins", "ends"),
    [
        ("America/Santiago", "2024-09-08", "2024-09-08T04:00", "2024-09-09T03:00"),
        ("America/Santiago", "2024-04-06", "2024-04-06T03:00", "2024-04-07T04:00"),
        ("Asia/Beirut", "2024-03-31", "2024-03-30T22:00", "2024-03-31T21:00"),
        ("Asia/Beirut", "2024-03-30", "2024-03-29T22:00", "2024-03-30T22:00"),
        ("Asia/Beirut", "2024-10-26", "2024-10-25T21:00", "2024-10-26T22:00"),
        ("Africa/Cairo", "2024-04-26", "2024-04-25T22:00", "2024-04-26T21:00"),
        ("Atlantic/Azores", "2024-03-31", "2024-03-31T01:00", "2024-04-01T00:00"),
        ("Atlantic/Azores", "2024-10-27", "2024-10-27T00:00", "2024-10-28T01:00"),
        ("America/Havana", "2024-03-10", "2024-03-10T05:00", "2024-03-11T04:00"),
        ("America/Havana", "2024-11-03", "2024-11-03T04:00", "2024-11-04T05:00"),
        ("Pacific/Apia", "2011-12-29", "2011-12-29T10:00", "2011-12-30T10:00"),
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00", "2011-12-31T10:00"),
        ("America/Toronto", "1919-03-31", "1919-03-31T04:30", "1919-04-01T04:00"),
        ("America/St_Johns", "2010-11-06", "2010-11-06T02:30", "2010-11-07T03:30"),
    ],
)
def test_day_begins_at_its_first_instant(zone: str, day: str, begins: str, ends: str) -> None:
    """If the clocks skip or repeat midnight, a day still includes each instant of its local date."""
    in_zone(zone)
    assert window(date.fromisoformat(day), 1) == {"from": f"{begins}:00.000Z", "to": f"{ends}:00.000Z"}


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Pacific/Apia", "2011-12-30"),
        ("Pacific/Kwajalein", "1993-08-21"),
        ("Pacific/Kiritimati", "1994-12-31"),
    ],
)
def test_day_that_the_local_calendar_skips_is_refused(zone: str, day: str) -> None:
    """A date that a zone skipped at the date line does not list another day."""
    in_zone(zone)
    with pytest.raises(BadParameter, match=f"there is no {day} here"):
        window(date.fromisoformat(day), 1)


def test_time_may_follow_today_or_tomorrow() -> None:
    """`today 09:00` and `tomorrow 09:00` are times."""
    for name in ("today", "tomorrow", "Tomorrow"):
        local = read_slot(f"{name} 9:30").astimezone()
        assert (local.date(), local.hour, local.minute) == (read_day(name), 9, 30)


def in_zone(zone: str) -> None:
    """Set the time zone of this process; the fixture of this module restores it."""
    os.environ["TZ"] = zone
    time.tzset()


def test_day_is_today_tomorrow_or_a_date() -> None:
    """Any other text and the end of the calendar are refused."""
    assert (read_day("tomorrow") - read_day("today")).days == 1
    assert read_day("2031-05-04") == read_day("04.05.2031") == date(2031, 5, 4)
    with pytest.raises(BadParameter):
        read_day("someday")
    with pytest.raises(BadParameter):
        window(date.max, 1)


def test_changes_are_listed_in_the_order_of_their_slots() -> None:
    """New, changed and freed slots are listed; unchanged slots are not."""
    before = {
        SlotOfResource(TEN, 30, "a"): "held",
        SlotOfResource(NINE, 30, "a"): "booked",
        SlotOfResource(NINE, 60, "a"): "booked",
    }
    after = {
        SlotOfResource(TEN, 30, "a"): "booked",
        SlotOfResource(NINE, 60, "a"): "booked",
        SlotOfResource(TEN, 30, "b"): "held",
    }
    assert list(changes(before, after)) == [
        (SlotOfResource(NINE, 30, "a"), "free"),
        (SlotOfResource(TEN, 30, "a"), "booked"),
        (SlotOfResource(TEN, 30, "b"), "held"),
    ]
