"""Starts that a schedule offers, the reasons why it does not offer a slot, and which starts are free."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contract.errors import InvalidRequest
from shared.contract.instants import parse_instant, unix_milliseconds
from shared.contract.schedules import Schedule
from shared.domain.grid import Grid
from shared.domain.schedule.free_starts import common_starts, free_starts, offered_starts, why_not_offered
from shared.domain.schedule.opening_hours import OpeningHours
from shared.domain.schedule.services import Need, need_of_service

MINUTE = 60_000
WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
EMPTY = {"title": "A", "timeZone": "UTC", "weekly": []}


def at(text: str) -> int:
    return unix_milliseconds(parse_instant(text))


def on(time: str) -> int:
    return at(f"2030-01-07T{time}:00Z")


DAY = (at("2030-01-07T00:00:00Z"), at("2030-01-08T00:00:00Z"))
NOW = on("00:00")


def hours(*times: tuple[str, str], **more: Any) -> OpeningHours:
    weekly = [{"days": WEEK, "from": begin, "to": end} for begin, end in times]
    return OpeningHours(Schedule.model_validate({**EMPTY, "weekly": weekly, **more}))


def test_starts_are_counted_from_each_opening() -> None:
    """The afternoon's starts do not depend on the morning's."""
    found = offered_starts(hours(("09:10", "10:00"), ("13:00", "14:00"), stepMinutes=20), DAY, 20, NOW)
    assert found == [on(time) for time in ("09:10", "09:30", "13:00", "13:20", "13:40")]


def test_booking_fits_in_adjacent_openings() -> None:
    """A booking may cross from one opening into the next one if there is no gap, at midnight too."""
    always = hours(("00:00", "12:00"), ("12:00", "24:00"), stepMinutes=60)
    assert on("11:00") in offered_starts(always, DAY, 120, NOW)
    assert on("23:00") in offered_starts(always, DAY, 120, NOW)
    assert why_not_offered(always, on("23:00"), 120, NOW) is None


def test_start_after_the_begin_of_the_window_keeps_its_step() -> None:
    """A window that begins within an opening does not move the starts."""
    found = offered_starts(hours(("09:00", "10:00"), stepMinutes=20), (on("09:01"), DAY[1]), 20, NOW)
    assert found == [on("09:20"), on("09:40")]


@pytest.mark.parametrize(
    ("rules", "slot", "reason"),
    [
        ({}, "09:00", None),
        ({}, "08:45", "closed"),
        ({}, "11:45", "closed"),  # 30 minutes do not fit
        ({}, "09:05", "not_a_start"),
        ({"leadMinutes": 9 * 60}, "09:00", None),
        ({"leadMinutes": 9 * 60 + 1}, "09:00", "too_soon"),
        ({"horizonDays": 0}, "11:30", None),
    ],
)
def test_reason_why_a_slot_is_not_offered(rules: dict[str, Any], slot: str, reason: str | None) -> None:
    """A slot outside the hours, the lead or the steps is not offered, for its reason."""
    assert why_not_offered(hours(("09:00", "12:00"), **rules), on(slot), 30, NOW) == reason


def test_horizon_ends_with_a_local_day() -> None:
    """With `horizonDays` of 1, all of tomorrow's slots are offered, by the calendar of the zone."""
    berlin = hours(("00:00", "24:00"), horizonDays=1, timeZone="Europe/Berlin", stepMinutes=60)
    now = at("2030-01-06T22:59:00Z")  # one minute to midnight in Berlin
    assert why_not_offered(berlin, at("2030-01-07T22:00:00Z"), 30, now) is None
    assert why_not_offered(berlin, at("2030-01-07T23:00:00Z"), 30, now) == "too_far"
    assert why_not_offered(berlin, at("2030-01-07T23:00:00Z"), 30, now + MINUTE) is None


def test_resource_without_a_schedule_is_unknown() -> None:
    """Without a schedule, no slot is offered."""
    assert why_not_offered(None, on("09:00"), 30, NOW) == "unknown_resource"


@pytest.mark.parametrize("year", ["0001-01-01", "9999-12-31"])
def test_ends_of_time_are_closed(year: str) -> None:
    """The first and the last year are closed, because their local times may not exist."""
    assert why_not_offered(hours(("00:00", "24:00")), at(f"{year}T00:00:00Z"), 30, NOW) == "closed"


def test_free_start_has_its_buffers_free() -> None:
    """The buffers of a start must be free, and may lie outside the opening hours."""
    need = Need(("a",), 30, before=15, after=30)
    starts = offered_starts(hours(("09:00", "12:00"), stepMinutes=30), DAY, 30, NOW)
    taken = [(on("10:30"), on("10:45")), (on("08:00"), on("08:45"))]
    free = free_starts(starts, taken, need, Grid(5))
    assert free == [on(time) for time in ("09:00", "09:30", "11:00", "11:30")]


def test_touched_cell_is_taken() -> None:
    """A start is not free if its booking would only touch a taken cell."""
    assert free_starts([on("09:00")], [(on("09:15"), on("09:30"))], Need(("a",), 16), Grid(15)) == []
    assert free_starts([on("09:00")], [(on("09:15"), on("09:30"))], Need(("a",), 15), Grid(15))


def test_instant_is_a_cell_without_a_grid() -> None:
    """On a grid of 0, only the same instant is taken."""
    starts = [on("09:00"), on("09:15")]
    taken = [(on("09:00"), on("09:00") + 1)]
    assert free_starts(starts, taken, Need(("a",), 0), Grid(0)) == [on("09:15")]


def test_all_resources_have_to_offer_a_start() -> None:
    """Of several resources, a start is common only if all offer it."""
    doctor = offered_starts(hours(("09:00", "10:00"), stepMinutes=15), DAY, 15, NOW)
    room = offered_starts(hours(("09:30", "11:00"), stepMinutes=30), DAY, 15, NOW)
    assert common_starts([doctor, room]) == [on("09:30")]


spans = st.lists(
    st.tuples(st.integers(0, 280), st.integers(1, 60)).map(
        lambda span: (DAY[0] + span[0] * 5 * MINUTE, DAY[0] + (span[0] + span[1]) * 5 * MINUTE)
    )
)


@settings(deadline=None)
@given(taken=spans, minutes=st.integers(1, 90), before=st.integers(0, 40), after=st.integers(0, 40))
def test_free_start_shares_no_cell_with_what_is_taken(
    taken: list[tuple[int, int]], minutes: int, before: int, after: int
) -> None:
    """A start is free if and only if no cell that its booking claims is taken."""
    grid, need = Grid(5), Need(("a",), minutes, before, after)
    starts = offered_starts(hours(("06:00", "22:00"), stepMinutes=10), DAY, minutes, NOW)
    free = set(free_starts(starts, taken, need, grid))
    for start in starts:
        first, end = grid.cells_of(start - before * MINUTE, start + (minutes + after) * MINUTE)
        assert (start in free) == all(end <= begin or close <= first for begin, close in taken)


VISIT = {"id": "visit", "title": "Visit", "durationMinutes": 45, "bufferAfter": 10, "resources": ["room"]}


def test_service_sets_duration_buffers_and_resources() -> None:
    """A service of one resource adds its resources to the request."""
    schedules = {"lee": hours(services=[VISIT])}
    need = need_of_service("visit", ("lee",), schedules)
    assert need == Need(("lee", "room"), 45, 0, 10)
    assert need_of_service("visit", ("lee",), schedules, 45) == need


@pytest.mark.parametrize(
    ("service", "resources", "minutes", "sentence"),
    [
        ("other", ("lee",), None, "service must be a service of one of the resources"),
        ("visit", ("kim",), None, "service must be a service of one of the resources"),
        ("visit", ("lee",), 30, "durationMinutes must be 45 or absent with this service"),
        (
            "visit",
            ("lee", "may"),
            None,
            "service must have the same duration and buffers at all of the resources",
        ),
        (
            "visit",
            ("lee", *(f"r{number}" for number in range(7))),
            None,
            "resources must be at most 8 with those of the service",
        ),
    ],
)
def test_service_that_does_not_fit_is_refused(
    service: str, resources: tuple[str, ...], minutes: int | None, sentence: str
) -> None:
    """A service that no resource has, or that contradicts the request, is refused."""
    schedules = {
        "lee": hours(services=[VISIT]),
        "may": hours(services=[{**VISIT, "durationMinutes": 30}]),
    }
    with pytest.raises(InvalidRequest) as refused:
        need_of_service(service, resources, schedules, minutes)
    assert refused.value.text == sentence
