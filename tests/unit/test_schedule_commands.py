"""Schedules on the wire: what is accepted, and the sentence that names the place of a mistake."""

import json
from typing import Any

import pytest
from pydantic_core import to_json

from shared.contract.errors import InvalidRequest
from shared.contract.parsing import parse_command
from shared.contract.schedules import PutSchedule

MORNING = {"days": ["mon", "tue"], "from": "09:00", "to": "12:30"}
SERVICE = {"id": "first-visit", "title": "First visit", "durationMinutes": 45, "bufferAfter": 10}
SCHEDULE: dict[str, Any] = {
    "site": "harbour",
    "resource": "dr-lee",
    "title": "Dr Lee",
    "timeZone": "Europe/Berlin",
    "weekly": [MORNING],
    "exceptions": [
        {"date": "2030-12-24"},
        {"holidays": "DE", "subdivision": "BY", "hours": [{"from": "10:00", "to": "24:00"}]},
    ],
    "services": [{**SERVICE, "resources": ["room-2"]}],
}


def read(**changes: Any) -> PutSchedule:
    return parse_command(PutSchedule, json.dumps({**SCHEDULE, **changes}).encode())


def test_schedule_survives_the_wire() -> None:
    """A schedule that is written and read again is the same."""
    command = read(enforced=True, horizonDays=30)
    assert parse_command(PutSchedule, to_json(command, exclude_none=True)) == command


def test_absent_rules_limit_nothing() -> None:
    """A schedule without rules offers slots at once, without end, and is not enforced."""
    command = read(exceptions=None, services=None)
    assert (command.leadMinutes, command.horizonDays) == (0, None)
    assert not command.enforced


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"weekly": None}, "Missing weekly"),
        ({"weekly": 3}, "weekly must be a list of at most 50"),
        ({"weekly": [MORNING, 3]}, "weekly[1] must be a JSON object"),
        ({"weekly": [MORNING, {**MORNING, "to": "08:00"}]}, "weekly[1].to must be later than from"),
        ({"weekly": [{**MORNING, "to": "09:00"}]}, "weekly[0].to must be later than from"),
        (
            {"weekly": [{**MORNING, "to": "24:01"}]},
            "weekly[0].to must be a time of the day from 00:00 to 24:00",
        ),
        ({"weekly": [{"days": ["mon"], "to": "12:00"}]}, "Missing weekly[0].from"),
        (
            {"weekly": [{**MORNING, "days": []}]},
            "weekly[0].days must be different days of mon, tue, wed, thu, fri, sat, sun",
        ),
        (
            {"weekly": [MORNING, {"days": ["tue"], "from": "12:29", "to": "13:00"}]},
            "weekly must not overlap, as [0] and [1] do on tue",
        ),
        ({"weekly": [{**MORNING, "colour": 1}]}, "Unknown field colour in weekly[0]"),
        ({"exceptions": [{}]}, "exceptions[0] must have either date or holidays"),
        (
            {"exceptions": [{"date": "2030-01-01", "holidays": "DE"}]},
            "exceptions[0] must have either date or holidays",
        ),
        (
            {"exceptions": [{"date": "2030-01-01", "subdivision": "BY"}]},
            "exceptions[0] must have holidays if it has subdivision",
        ),
        (
            {"exceptions": [{"date": "2030-02-30"}]},
            "exceptions[0].date must be a date that exists, for example 2030-12-24",
        ),
        (
            {"exceptions": [{"date": "2030-02-01"}] * 2},
            "exceptions must be different, but [0] and [1] have the same day",
        ),
        (
            {"exceptions": [{"date": "2030-02-01", "hours": [{"from": "09:00", "to": "10:00"}] * 2}]},
            "exceptions[0].hours must not overlap, as [0] and [1] do",
        ),
        (
            {"services": [{**SERVICE, "durationMinutes": 0}]},
            "services[0].durationMinutes must be a whole number of minutes from 1 to 1440",
        ),
        (
            {"services": [{**SERVICE, "bufferBefore": -1}]},
            "services[0].bufferBefore must be a whole number from 0 to 480",
        ),
        ({"services": [SERVICE] * 2}, "services must be different, but [0] and [1] have the same id"),
        ({"timeZone": "../etc"}, "timeZone must be an IANA time zone, for example Europe/Berlin"),
        ({"stepMinutes": 0}, "stepMinutes must be a whole number from 1 to 1440"),
        ({"stepMinutes": True}, "stepMinutes must be a whole number from 1 to 1440"),
        ({"enforced": 1}, "enforced must be true or false"),
        ({"title": " "}, "title must have at least one visible character"),
        ({"resource": "a/b"}, "resource must be 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'"),
    ],
)
def test_mistake_is_named_with_its_place(changes: dict[str, Any], sentence: str) -> None:
    """A refusal names the place of the mistake, and repeats no value."""
    with pytest.raises(InvalidRequest) as refused:
        read(**changes)
    assert refused.value.text == sentence
