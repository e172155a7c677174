"""Times as people say them to the command `slotkeeper`, and as it shows them."""

from datetime import UTC, date, datetime

import pytest
from typer import BadParameter

from shared.cli.times import read_day, read_slot, shown, window
from shared.cli.watch import Span, changes

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
    assert shown(instant) == text


def test_a_time_of_the_day_in_question_is_shown_without_its_date() -> None:
    """One that lies on another day has its date."""
    assert shown(NINE, date(2031, 5, 4)) == "11:00 +02:00"
    assert shown(NINE, date(2031, 5, 5)) == "2031-05-04 11:00 +02:00"


def test_a_day_is_as_long_as_it_is_here() -> None:
    """A day lasts from midnight to midnight: where the clocks are changed, 23 or 25 hours."""
    assert window(date(2031, 3, 30), 1) == {
        "from": "2031-03-29T23:00:00.000Z",
        "to": "2031-03-30T22:00:00.000Z",
    }


def test_days_can_be_named() -> None:
    """Today, tomorrow or a date; anything else is refused, and so is the end of the calendar."""
    assert (read_day("tomorrow") - read_day("today")).days == 1
    assert read_day("2031-05-04") == date(2031, 5, 4)
    with pytest.raises(BadParameter):
        read_day("someday")
    with pytest.raises(BadParameter):
        window(date.max, 1)


def test_changes_are_said_in_the_order_of_the_slots() -> None:
    """What is new, what has another state, and what is free again; what is as it was is not said."""
    before = {Span(TEN, "a", 30): "held", Span(NINE, "a", 30): "booked", Span(NINE, "a", 60): "booked"}
    after = {Span(TEN, "a", 30): "booked", Span(NINE, "a", 60): "booked", Span(TEN, "a", 60): "held"}
    assert list(changes(before, after)) == [
        (Span(NINE, "a", 30), "free"),
        (Span(TEN, "a", 30), "booked"),
        (Span(TEN, "a", 60), "held"),
    ]
