"""Commands: what callers ask for. Field names are those on the wire, over HTTP and NATS alike."""

import json
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from .errors import InvalidRequest
from .fields import (
    DurationMinutes,
    HoldToken,
    IdempotencyKey,
    Instant,
    PatientName,
    Resources,
    Site,
)
from .headers import IDEMPOTENCY_KEY

DEFAULT_SITE = "default"
DEFAULT_RESOURCES = ("default",)
LARGEST_REQUEST = 16 * 1024
NOT_JSON = "Body is not valid JSON"
_ECHOED_FIELD_LENGTH = 32
_KEY = TypeAdapter[str](IdempotencyKey)


class Command(BaseModel):
    """Unknown fields are refused. A null counts as a field that was not sent."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    required_together: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        sent = {field: value for field, value in body.items() if value is not None}
        if any(_is_blank(sent.get(field, "")) for field in cls.required_together):
            names = " or ".join(cls.required_together)
            raise PydanticCustomError("missing_fields", "Missing {names}", {"names": names})
        return sent


class SlotRequest(Command):
    """A slot and the patient who wants it: the HTTP body of both booking and hold.

    All of `resources`, which lie in one `site`, are wanted: the doctor and the room, both or neither.
    """

    required_together: ClassVar[tuple[str, ...]] = ("slot", "patientName")

    slot: Instant
    patientName: PatientName
    site: Site = DEFAULT_SITE
    resources: Resources = DEFAULT_RESOURCES
    durationMinutes: DurationMinutes | None = None
    holdToken: HoldToken | None = None


class BookAppointment(SlotRequest):
    idempotencyKey: IdempotencyKey | None = None

    @classmethod
    def of(cls, request: SlotRequest, key: str | None) -> "BookAppointment":
        """A request that was validated, and its key, which was too."""
        return cls.model_construct(**request.__dict__, idempotencyKey=key)


class PlaceHold(SlotRequest):
    pass


class GetAppointment(Command):
    id: str = Field(strict=True)


class AskReady(Command):
    """Whether the worker that gets this can serve."""


CommandT = TypeVar("CommandT", bound=Command)


def parse_command(model: type[CommandT], data: bytes, key: str | None = None) -> CommandT:
    """Read a command from JSON in UTF-8; an empty message is an empty object.

    `key` is an idempotency key that was sent beside the body.

    Raises:
        InvalidRequest: with one sentence that names the field and never repeats its value.
    """
    try:
        body = json.loads((data or b"{}").decode())  # of bytes, it would read UTF-16 and UTF-32 too
    except (ValueError, RecursionError):
        raise InvalidRequest(NOT_JSON) from None
    if key is not None and isinstance(body, dict):
        if body.get("idempotencyKey") not in (None, key):
            raise InvalidRequest("Idempotency-Key and idempotencyKey are not the same")
        body["idempotencyKey"] = key
    return validate(model, body)


def validate(model: type[CommandT], body: Any) -> CommandT:
    """A command of what was read from JSON.

    Raises:
        InvalidRequest: as `parse_command`.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise InvalidRequest(describe(error.errors()[0])) from None


def read_key(text: str) -> str:
    """An idempotency key that was sent in a header.

    Raises:
        InvalidRequest
    """
    try:
        return _KEY.validate_python(text)
    except ValidationError as error:
        raise InvalidRequest(f"{IDEMPOTENCY_KEY} {error.errors()[0]['msg']}") from None


def describe(error: ErrorDetails) -> str:
    """One sentence for the caller about a validation error."""
    field = str(error["loc"][-1]) if error["loc"] else ""
    match error["type"]:
        case "missing_fields":
            return error["msg"]
        case "missing":
            return f"Missing {field}"
        case "extra_forbidden":
            # Only what looks like a field's name is repeated: a key can carry a patient's name too.
            plain = field.isascii() and field.isidentifier() and len(field) <= _ECHOED_FIELD_LENGTH
            return f"Unknown field {field}" if plain else "Unknown field"
        case "invalid_field":
            return f"{field} {error['msg']}"
        case "string_type":
            return f"{field} must be a string"
        case "json_invalid":
            return NOT_JSON
        case _:
            return "Body must be a JSON object"


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()
