"""Field types of the messages. They refuse a bad value with a sentence that never repeats the value."""

import re
from collections.abc import Callable
from datetime import datetime
from secrets import token_hex
from typing import Annotated, Any, Literal, get_args

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from .instants import INSTANT_PATTERN, format_instant, instant_of, parse_instant
from .names import NAME_LENGTH, NAME_PATTERN, read_name

DAY_MINUTES = 24 * 60
MOST_RESOURCES = 8
MOST_LISTED_RESOURCES = 100

_SITE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RESOURCE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_RESOURCE_TEXT = "1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_CURSOR = re.compile(r"[A-Za-z0-9_-]{1,128}")
_PRINTABLE_ASCII = re.compile(r"[ -~]{1,255}")


def invalid(sentence: str) -> PydanticCustomError:
    """Return a validation error with our own text, because pydantic's texts may quote the input."""
    return PydanticCustomError("invalid_field", "{sentence}", {"sentence": sentence})


def _instant(value: Any) -> datetime:
    try:
        if isinstance(value, datetime) and value.tzinfo is not None:
            return parse_instant(instant_of(value).isoformat().replace("+00:00", "Z"))
        if isinstance(value, datetime):
            raise invalid("must be a datetime with a time zone")
        if not isinstance(value, str):
            raise invalid("must be a string, an ISO 8601 time with an offset")
        return parse_instant(value)
    except ValueError as error:
        raise invalid(str(error)) from None


def name_of(value: Any) -> str:
    """Check and normalise a name, as a validator of pydantic does."""
    if not isinstance(value, str):
        raise invalid("must be a string")
    try:
        return read_name(value)
    except ValueError as error:
        raise invalid(str(error)) from None


def matching(pattern: re.Pattern[str], sentence: str) -> Callable[[Any], str]:
    """Return a check that a value is a text that matches a pattern as a whole; `sentence` says so."""

    def check(value: Any) -> str:
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        raise invalid(sentence)

    return check


def one_of(*names: str) -> Callable[[Any], str]:
    """Return a check that a value is one of some texts."""
    return matching(re.compile("|".join(names)), f"must be one of {', '.join(names)}")


def _resources(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MOST_RESOURCES:
        raise invalid(f"must be a list of 1 to {MOST_RESOURCES} names")
    if not all(isinstance(name, str) and _RESOURCE.fullmatch(name) for name in value):
        raise invalid(f"must be names of {_RESOURCE_TEXT}")
    if len(set(value)) < len(value):
        raise invalid("must be different names")
    return tuple(sorted(value))


def _listed_resources(value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not 1 <= len(names) <= MOST_LISTED_RESOURCES:
        raise invalid(f"must be 1 to {MOST_LISTED_RESOURCES} names")
    if not all(isinstance(name, str) and _RESOURCE.fullmatch(name) for name in names):
        raise invalid(f"must be {_RESOURCE_TEXT}")
    if len(set(names)) < len(names):
        raise invalid("must be different names")
    return tuple(sorted(names))


def _uuid(value: Any) -> str:
    return matching(_UUID, "must be a UUID")(value).lower()


def _minutes(value: Any) -> int:
    # 30.0 is accepted too: JSON does not distinguish it from 30, and some clients write every number so.
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
    if whole and 1 <= value <= DAY_MINUTES:
        return int(value)
    raise invalid(f"must be a whole number of minutes from 1 to {DAY_MINUTES}")


def _version(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise invalid("must be a whole number from 1 on")


def trim_key(key: Any) -> Any:
    """Strip blanks from the ends of an idempotency key, as HTTP servers do with header values."""
    return key.strip(" \t") if isinstance(key, str) else key


def _idempotency_key(value: Any) -> str:
    return matching(_PRINTABLE_ASCII, "must be 1 to 255 printable ASCII characters")(trim_key(value))


def is_site(text: str) -> bool:
    """Return whether `text` is the name of a site."""
    return _SITE.fullmatch(text) is not None


def is_uuid(text: str) -> bool:
    """Return whether `text` is a UUID with dashes, in upper or lower case."""
    return _UUID.fullmatch(text) is not None


def random_uuid() -> str:
    """Return a random UUID of version 4. `uuid.uuid4` takes three times as long."""
    digits = token_hex(16)
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def string_schema(**more: Any) -> WithJsonSchema:
    """Return the JSON Schema of a text, with `more` keywords."""
    return WithJsonSchema({"type": "string", **more})


Instant = Annotated[
    datetime,
    PlainValidator(_instant),
    PlainSerializer(format_instant, return_type=str),
    string_schema(
        format="date-time",
        pattern=INSTANT_PATTERN,
        description="ISO 8601 with an offset, no finer than a millisecond.",
        examples=["2030-01-07T09:00:00Z"],
    ),
]
PatientName = Annotated[
    str,
    PlainValidator(name_of),
    string_schema(
        minLength=1,
        maxLength=NAME_LENGTH,
        pattern=NAME_PATTERN,
        description=(
            "In any script, with a visible character; counted in NFC. White space is collapsed, "
            "and invisible characters at the ends are removed."
        ),
    ),
]
Contact = Annotated[
    str,
    PlainValidator(name_of),
    string_schema(
        minLength=1,
        maxLength=NAME_LENGTH,
        pattern=NAME_PATTERN,
        description="Where the patient is reached: a phone number or an address. Checked like `patientName`.",
        examples=["+49 40 1234567"],
    ),
]
Site = Annotated[
    str,
    PlainValidator(matching(_SITE, "must be 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-'")),
    string_schema(pattern=f"^{_SITE.pattern}$", description="The branch or tenant."),
]
ConsumerName = Annotated[
    str,
    PlainValidator(matching(_SITE, "must be 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-'")),
    string_schema(pattern=f"^{_SITE.pattern}$", description="The name of a durable consumer."),
]
ListedResources = Annotated[
    tuple[str, ...],
    PlainValidator(_listed_resources),
    PlainSerializer(list, return_type=list[str]),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string", "pattern": f"^{_RESOURCE.pattern}$"},
            "minItems": 1,
            "maxItems": MOST_LISTED_RESOURCES,
            "uniqueItems": True,
            "description": "A doctor or room; repeat it for several. Default: all resources of the site.",
        }
    ),
]
Resources = Annotated[
    tuple[str, ...],
    PlainValidator(_resources),
    PlainSerializer(list, return_type=list[str]),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string", "pattern": f"^{_RESOURCE.pattern}$"},
            "minItems": 1,
            "maxItems": MOST_RESOURCES,
            "uniqueItems": True,
            "description": "For example the doctor and the room. The command gets all of them or none.",
        }
    ),
]
Resource = Annotated[
    str,
    PlainValidator(matching(_RESOURCE, f"must be {_RESOURCE_TEXT}")),
    string_schema(pattern=f"^{_RESOURCE.pattern}$", description="A doctor or room."),
]
HoldToken = Annotated[
    str,
    PlainValidator(_uuid),
    string_schema(format="uuid", description="The secret that owns a hold."),
]
Cursor = Annotated[
    str,
    PlainValidator(matching(_CURSOR, "must be what `next` of the page before says")),
    string_schema(pattern=f"^{_CURSOR.pattern}$", description="`next` of the previous page."),
]
DurationMinutes = Annotated[
    int,
    PlainValidator(_minutes),
    WithJsonSchema(
        {
            "type": "integer",
            "minimum": 1,
            "maximum": DAY_MINUTES,
            "description": "Minutes from the slot on. Default: one cell of the grid. Refused on a grid of 0.",
        }
    ),
]
AttendanceName = Literal["expected", "arrived", "missed"]
ATTENDANCES = get_args(AttendanceName)
Attendance = Annotated[
    AttendanceName,
    PlainValidator(one_of(*ATTENDANCES)),
    string_schema(enum=list(ATTENDANCES), description="Whether the patient came."),
]
Version = Annotated[
    int,
    PlainValidator(_version),
    WithJsonSchema(
        {
            "type": "integer",
            "minimum": 1,
            "description": "The command is executed only if the appointment has this version.",
        }
    ),
]


def _key_schema(description: str) -> WithJsonSchema:
    return string_schema(minLength=1, maxLength=255, pattern="^[!-~]([ -~]*[!-~])?$", description=description)


_check_key = PlainValidator(_idempotency_key)
IdempotencyKey = Annotated[
    str,
    _check_key,
    _key_schema(
        "A new key for every booking, the same key for every retry of it. Blanks at its ends are ignored."
    ),
]
MoveId = Annotated[
    str,
    _check_key,
    _key_schema("A new key for every move of an appointment, the same key for every retry of it."),
]
AmendId = Annotated[
    str,
    _check_key,
    _key_schema("A new key for every amendment of an appointment, the same key for every retry of it."),
]
