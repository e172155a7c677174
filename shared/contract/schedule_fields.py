"""Field types of schedules. They refuse a bad value with a sentence that never repeats the value."""

import datetime
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from .fields import DAY_MINUTES, invalid, matching, name_of, string_schema
from .names import NAME_LENGTH, NAME_PATTERN

MOST_BUFFER_MINUTES = 480
MOST_LEAD_MINUTES = 366 * DAY_MINUTES
MOST_HORIZON_DAYS = 3660
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_SUBDIVISION = re.compile(r"[A-Za-z0-9 -]{1,40}")
_DIGITS = re.compile(r"[0-9]{1,4}")
_SERVICE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def at_most(most: int) -> Callable[[Any], Any]:
    """Return a check that a value is a list of at most `most` items."""

    def check(value: Any) -> Any:
        if isinstance(value, list | tuple) and len(value) <= most:
            return value
        raise invalid(f"must be a list of at most {most}")

    return check


def _text_schema(pattern: re.Pattern[str], description: str) -> WithJsonSchema:
    return string_schema(pattern=f"^({pattern.pattern})$", description=description)


def _whole(least: int, most: int) -> PlainValidator:
    def check(value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        raise invalid(f"must be a whole number from {least} to {most}")

    return PlainValidator(check)


def _whole_schema(least: int, most: int, description: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "integer", "minimum": least, "maximum": most, "description": description})


def _date(value: Any) -> datetime.date:
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return datetime.date.fromisoformat(value)
    except ValueError:
        pass
    raise invalid("must be a date that exists, for example 2030-12-24")


def _days(value: Any) -> tuple[str, ...]:
    names = value if isinstance(value, list | tuple) else ()
    if names and all(name in WEEKDAYS for name in names) and len(set(names)) == len(names):
        return tuple(sorted(names, key=WEEKDAYS.index))
    raise invalid(f"must be different days of {', '.join(WEEKDAYS)}")


def _asked_minutes(value: Any) -> int:
    """Read minutes from JSON, or from a query, which has texts alone."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= DAY_MINUTES:
        return value
    raise invalid(f"must be a whole number of minutes from 1 to {DAY_MINUTES}")


def _asked_switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("1", "true", "0", "false"):
        return value in ("1", "true")
    raise invalid("must be 1 or 0")


def _switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise invalid("must be true or false")


Title = Annotated[
    str,
    PlainValidator(name_of),
    string_schema(pattern=NAME_PATTERN, minLength=1, maxLength=NAME_LENGTH, description="A name for people."),
]
WallTime = Annotated[
    str,
    PlainValidator(matching(_TIME, "must be a time of the day from 00:00 to 24:00")),
    _text_schema(_TIME, "A time of the wall clock."),
]
Date = Annotated[
    datetime.date,
    PlainValidator(_date),
    PlainSerializer(datetime.date.isoformat, return_type=str),
    WithJsonSchema({"type": "string", "format": "date", "description": "A local day."}),
]
Days = Annotated[
    tuple[str, ...],
    PlainValidator(_days),
    PlainSerializer(list, return_type=list[str]),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string", "enum": list(WEEKDAYS)},
            "minItems": 1,
            "uniqueItems": True,
            "description": "Days of the week.",
        }
    ),
]
TimeZone = Annotated[
    str,
    PlainValidator(matching(_ZONE, "must be an IANA time zone, for example Europe/Berlin")),
    _text_schema(_ZONE, "An IANA time zone, for example Europe/Berlin."),
]
Country = Annotated[
    str,
    PlainValidator(matching(_COUNTRY, "must be a country code of two capital letters, for example DE")),
    _text_schema(_COUNTRY, "All public holidays of this country (ISO 3166-1)."),
]
Subdivision = Annotated[
    str,
    PlainValidator(matching(_SUBDIVISION, "must be the code of a part of the country")),
    _text_schema(_SUBDIVISION, "A part of the country (ISO 3166-2, without the country)."),
]
_check_service = PlainValidator(
    matching(_SERVICE, "must be 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'")
)
ServiceId = Annotated[
    str,
    _check_service,
    _text_schema(_SERVICE, "A service of the schedule."),
]
AskedService = Annotated[
    str,
    _check_service,
    _text_schema(
        _SERVICE,
        "A service in the schedule of one of the resources. It sets the duration and the buffers, and adds "
        "its own resources. Another `durationMinutes` is refused.",
    ),
]
Buffer = Annotated[
    int,
    _whole(0, MOST_BUFFER_MINUTES),
    _whole_schema(
        0, MOST_BUFFER_MINUTES, "Minutes beside the appointment in which its resources cannot be booked."
    ),
]
StepMinutes = Annotated[
    int,
    _whole(1, DAY_MINUTES),
    _whole_schema(1, DAY_MINUTES, "Minutes between offered starts, counted from each opening."),
]
LeadMinutes = Annotated[
    int,
    _whole(0, MOST_LEAD_MINUTES),
    _whole_schema(0, MOST_LEAD_MINUTES, "How many minutes before its slot a booking must be made."),
]
HorizonDays = Annotated[
    int,
    _whole(0, MOST_HORIZON_DAYS),
    _whole_schema(
        0, MOST_HORIZON_DAYS, "How many local days after today slots are offered. Absent: no limit."
    ),
]
CutOffMinutes = Annotated[
    int,
    _whole(0, MOST_LEAD_MINUTES),
    _whole_schema(
        0,
        MOST_LEAD_MINUTES,
        "How many minutes before its slot a patient's link may last cancel or move it. Absent: no limit.",
    ),
]
AskedMinutes = Annotated[
    int,
    PlainValidator(_asked_minutes),
    WithJsonSchema(
        {
            "type": "integer",
            "minimum": 1,
            "maximum": DAY_MINUTES,
            "description": "Default: the minutes of the service, or one cell of the grid.",
        }
    ),
]
AskedSwitch = Annotated[
    bool,
    PlainValidator(_asked_switch),
    WithJsonSchema(
        {
            "type": "boolean",
            "description": "1: one of the resources is enough, and the answer names those that are free. "
            "Then `resource` may be absent: all of the site that have a schedule (and the service).",
        }
    ),
]
Switch = Annotated[
    bool,
    PlainValidator(_switch),
    WithJsonSchema({"type": "boolean", "description": "Whether bookings outside the schedule are refused."}),
]
