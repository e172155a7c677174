"""Parse commands from JSON, and describe validation errors to callers."""

from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from .commands import CommandT
from .errors import InvalidRequest
from .fields import IdempotencyKey, trim_key
from .headers import IDEMPOTENCY_KEY
from .strict_json import read_json

LARGEST_REQUEST = 16 * 1024
NOT_JSON = "Body is not valid JSON"
_ECHOED_FIELD_LENGTH = 32
ENVELOPES = {"command", "body", "query", "path", "header"}
"""Where a command is in its batch, or a field in its HTTP request: a caller need not know."""
_KEY = TypeAdapter[str](IdempotencyKey)


def parse_command(model: type[CommandT], data: bytes, key: str | None = None) -> CommandT:
    """Parse a command from JSON in UTF-8; an empty message is an empty object.

    `key`: an idempotency key that was sent in a header.

    Raises:
        InvalidRequest: one sentence that names the field and never repeats its value.
    """
    body = read_body(data)
    if key is not None and isinstance(body, dict):
        if trim_key(body.get("idempotencyKey")) not in (None, trim_key(key)):
            raise InvalidRequest("Idempotency-Key and idempotencyKey are not the same")
        body["idempotencyKey"] = key
    return validate(model, body)


def read_body(data: bytes) -> Any:
    """Parse JSON as `read_json` does.

    Raises:
        InvalidRequest: the data is not JSON, or nested too deeply.
    """
    try:
        return read_json(data)
    except (ValueError, RecursionError):
        raise InvalidRequest(NOT_JSON) from None


def validate(model: type[CommandT], body: Any) -> CommandT:
    """Validate decoded JSON as a command.

    Raises:
        InvalidRequest: as `parse_command`.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise InvalidRequest(describe(error.errors()[0])) from None


def read_key(text: str) -> str:
    """Validate an idempotency key that was sent in a header.

    Raises:
        InvalidRequest: the key is malformed.
    """
    try:
        return _KEY.validate_python(text)
    except ValidationError as error:
        raise InvalidRequest(f"{IDEMPOTENCY_KEY} {error.errors()[0]['msg']}") from None


def describe(error: ErrorDetails) -> str:
    """Describe a validation error in one sentence for the caller."""
    location = error["loc"]
    if len(location) > 1 and location[0] in ENVELOPES:
        location = location[1:]
    field, path = str(location[-1]) if location else "", _path(location)
    match error["type"]:
        case "missing_fields" | "wrong_window" | "nothing_to_change":
            return error["msg"]
        case "missing":
            return f"Missing {path}"
        case "extra_forbidden":
            where = f" in {_path(location[:-1])}" if location[1:] else ""
            return f"Unknown field {_echo(field)}".rstrip() + where
        case "repeated_field":
            return f"Duplicate field {_echo(error['msg'])}".rstrip()
        case "invalid_field":
            return f"{path} {error['msg']}"
        case "string_type":
            return f"{path} must be a string"
        case "json_invalid":
            return NOT_JSON
        case _:
            return f"{'Body' if path in {'', *ENVELOPES} else path} must be a JSON object"


def _path(location: tuple[int | str, ...]) -> str:
    """Return the path to a field, such as `weekly[1].to`. All its names are known fields."""
    names = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(names).removeprefix(".")


def _echo(field: str) -> str:
    """Return `field` if it looks like a field name, otherwise "": a JSON key could be a patient's name."""
    plain = field.isascii() and field.isidentifier() and len(field) <= _ECHOED_FIELD_LENGTH
    return field if plain else ""
