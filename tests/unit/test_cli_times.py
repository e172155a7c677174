"""Times as people say them to the command `slotkeeper`, and as it shows them."""

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
def test_a_time_is_this_zones_unless_it_says_its_offset(text: str) -> None:
    """All these are one instant, where the clocks show two hours more than UTC."""
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
def test_a_time_that_is_none_or_two_is_refused(text: str, sentence: str) -> None:
    """Where the clocks are changed, a time is never guessed."""
    with pytest.raises(BadParameter, match=sentence):
        read_slot(text)


def test_a_time_that_is_twice_can_be_said_with_its_offset() -> None:
    """With the offset, each of the two is a time of its own."""
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
def test_a_time_is_shown_with_its_offset(instant: datetime, text: str) -> None:
    """Nobody has to guess whose time it is."""
    assert format_time(instant) == text


def test_a_time_of_the_day_in_question_is_shown_without_its_date() -> None:
    """One that lies on another day has its date."""
    assert format_time(NINE, date(2031, 5, 4)) == "11:00 +02:00"
    assert format_time(NINE, date(2031, 5, 5)) == "2031-05-04 11:00 +02:00"


def test_a_day_is_as_long_as_it_is_here() -> None:
    """A day lasts from midnight to midnight: where the clocks are changed, 23 or 25 hours."""
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
def test_a_day_begins_at_its_first_instant(zone: str, day: str, begins: str, ends: str) -> None:
    """Where the clocks skip or repeat midnight, a day has each instant that they date so."""
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
def test_a_day_that_the_calendar_skips_is_refused(zone: str, day: str) -> None:
    """West or east of the date line there is no such day, and no other one is listed instead."""
    in_zone(zone)
    with pytest.raises(BadParameter, match=f"there is no {day} here"):
        window(date.fromisoformat(day), 1)


def test_a_clock_time_can_be_of_a_named_day() -> None:
    """`today 09:00` and `tomorrow 09:00` are times, as the days by themselves are days."""
    for name in ("today", "tomorrow", "Tomorrow"):
        local = read_slot(f"{name} 9:30").astimezone()
        assert (local.date(), local.hour, local.minute) == (read_day(name), 9, 30)


def in_zone(zone: str) -> None:
    """Give this process another zone; the fixture of this module puts it back."""
    os.environ["TZ"] = zone
    time.tzset()


def test_days_can_be_named() -> None:
    """Today, tomorrow or a date; anything else is refused, and so is the end of the calendar."""
    assert (read_day("tomorrow") - read_day("today")).days == 1
    assert read_day("2031-05-04") == read_day("04.05.2031") == date(2031, 5, 4)
    with pytest.raises(BadParameter):
        read_day("someday")
    with pytest.raises(BadParameter):
        window(date.max, 1)


def test_changes_are_said_in_the_order_of_the_slots() -> None:
    """What is new, what has another state, and what is free again; what is as it was is not said."""
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
