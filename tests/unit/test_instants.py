"""Instants: the accepted texts, and the written form."""

from datetime import UTC, datetime

import pytest

from shared.contract.instants import format_instant, parse_instant, unix_milliseconds

CANONICAL = "2025-12-05T10:00:00.000Z"


@pytest.mark.parametrize(
    "text",
    [
        "2025-12-05T10:00:00Z",
        "2025-12-05T12:00:00+02:00",
        "2025-12-05T10:00Z",
        "2025-12-05T10:00:00.000Z",
        "2025-12-05T04:30:00.000000-05:30",
        "2025-12-06T00:00:00+14:00",
    ],
)
def test_instant_has_one_written_form(text: str) -> None:
    """Every accepted text of an instant is written in the same form."""
    assert format_instant(parse_instant(text)) == CANONICAL


@pytest.mark.parametrize(
    "text",
    [
        "2025-12-05T10:00:00",
        "2025-12-05",
        "2025-12-05 10:00:00Z",
        "2025-12-05T10:00:00z",
        "2025-12-05T10:00:00+0200",
        "2025-12-05T10:00:00+02",
        "20251205T100000Z",
        "Dec 5 2025",
        "1733392800",
        "2025-02-30T10:00:00Z",
        "2025-13-01T10:00:00Z",
        "2025-12-05T24:00:00Z",
        "2025-12-05T10:60:00Z",
        "2025-12-05T10:00:60Z",
        "2025-12-05T10:00:00+24:00",
        "2025-12-05T10:00:00+02:60",
        "2025-12-05T10:00:00Z\n",
        " 2025-12-05T10:00:00Z",
        "٢٠٢٥-12-05T10:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2025-W49-5T10:00:00Z",
        "",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    """A time is strict ISO 8601 with an offset, exists, and lies in the years 1 to 9999 in UTC."""
    with pytest.raises(ValueError, match="^must"):
        parse_instant(text)


def test_time_finer_than_a_millisecond_is_refused() -> None:
    """A slot lies on a whole millisecond."""
    assert format_instant(parse_instant("2025-12-05T10:00:00.123Z")) == "2025-12-05T10:00:00.123Z"
    with pytest.raises(ValueError, match="finer"):
        parse_instant("2025-12-05T10:00:00.1234Z")


def test_years_are_written_with_four_digits() -> None:
    """Early years sort and parse in the written form too."""
    early = datetime(33, 4, 3, tzinfo=UTC)
    assert format_instant(early) == "0033-04-03T00:00:00.000Z"
    assert parse_instant(format_instant(early)) == early


def test_unix_milliseconds_are_exact() -> None:
    """Adjacent milliseconds of distant years are different numbers."""
    last = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
    assert unix_milliseconds(last) == 253402300799999
    assert unix_milliseconds(datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)) == -1
