"""Replies: the bodies of 2xx answers, and the envelope that carries any answer over NATS."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Generic, Literal, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json, to_json

from .errors import ErrorBody, OutcomeUnknown, Refused
from .fields import Instant
from .headers import ERROR_TYPE, REPLAYED

OK = "ok"


class Appointment(BaseModel):
    id: str
    site: str
    resources: tuple[str, ...]
    slot: Instant
    durationMinutes: int | None = None
    patientName: str
    status: Literal["booked", "cancelled"]
    createdAt: Instant


class BookingConfirmed(BaseModel):
    message: str = "Booking confirmed"
    appointment: Appointment


class BookingMoved(BaseModel):
    message: str = "Booking moved"
    appointment: Appointment


class BookingCancelled(BaseModel):
    message: str = "Booking cancelled"
    appointment: Appointment


class AppointmentFound(BaseModel):
    appointment: Appointment


class Change(BaseModel):
    """What became of an appointment, and where it lay from then on; `version` is 1 for `booked`."""

    version: int
    type: Literal["booked", "moved", "cancelled"]
    at: Instant
    slot: Instant
    durationMinutes: int | None = None
    resources: tuple[str, ...]


class HistoryFound(BaseModel):
    """The changes of an appointment, the oldest first."""

    history: list[Change]


class AppointmentsFound(BaseModel):
    """A page of appointments; without `next` it is the last."""

    appointments: list[Appointment]
    next: str | None = None


class TakenSlot(BaseModel):
    """What lies at a resource, and nobody else can have."""

    slot: Instant
    durationMinutes: int | None = None
    state: Literal["booked", "held"]


class SlotsFound(BaseModel):
    """A page of what is taken; without `next` it is the last."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)

    site: str
    resource: str
    from_: Instant = Field(alias="from")
    to: Instant
    taken: list[TakenSlot]
    next: str | None = None


class GridFound(BaseModel):
    """Slots lie on multiples of `slotMinutes` since the Unix epoch; 0: anywhere, and without a duration."""

    slotMinutes: int
    longestMinutes: int | None = None
    mostResources: int
    mostClaims: int


class Hold(BaseModel):
    token: str
    site: str
    resources: tuple[str, ...]
    slot: Instant
    durationMinutes: int | None = None
    expiresAt: Instant


class HoldPlaced(BaseModel):
    message: str
    hold: Hold


class HoldReleased(BaseModel):
    message: str = "Hold released"


class Readiness(BaseModel):
    """Whether a process can serve, and how each part it needs is: `ok` or what is wrong."""

    ready: bool
    checks: dict[str, str]


BodyT = TypeVar("BodyT", bound=BaseModel)
Envelope = tuple[Any, Mapping[str, str]]
"""A decoded answer, `{"status","body"}`, and its headers."""


class _Received(NamedTuple, Generic[BodyT]):
    content: Any
    model: type[BodyT]


class Reply(Generic[BodyT]):
    """An answer: its HTTP status, its body, and what HTTP says in headers."""

    def __init__(self, body: BodyT, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._body: BodyT | _Received[BodyT] = body
        self.status = status
        self.headers = headers or {}

    @classmethod
    def received(cls, content: Any, model: type[BodyT], status: int, headers: dict[str, str]) -> Self:
        """One whose body is decoded JSON, which is read as a `model` only if somebody asks for it."""
        reply = cls.__new__(cls)
        reply._body, reply.status, reply.headers = _Received(content, model), status, headers
        return reply

    @property
    def body(self) -> BodyT:
        """What was answered.

        Raises:
            OutcomeUnknown: it is not what a worker answers.
        """
        body = self._body
        if isinstance(body, _Received):
            try:
                body = self._body = body.model.model_validate(body.content)
            except ValidationError:
                raise OutcomeUnknown from None
        return body

    @property
    def json(self) -> str:
        """The body as JSON, passed on as it is where it has come so."""
        if isinstance(self._body, _Received):
            return to_json(self._body.content).decode()
        return self._body.model_dump_json(exclude_none=True)

    def to_wire(self) -> tuple[bytes, dict[str, str]]:
        """The NATS payload and headers of this answer."""
        headers = dict(self.headers)
        if self.status >= 400:
            headers["Nats-Service-Error"] = getattr(self.body, "error", "Not ready")
            headers["Nats-Service-Error-Code"] = str(self.status)
        return f'{{"status":{self.status},"body":{self.json}}}'.encode(), headers


def many_to_wire(replies: Iterable[Reply[Any]]) -> bytes:
    """The NATS payload that answers a message of many commands, each by its own reply."""
    each = (
        f'{{"status":{reply.status},"body":{reply.json},"headers":{json.dumps(reply.headers)}}}'
        for reply in replies
    )
    return f'{{"replies":[{",".join(each)}]}}'.encode()


def refusal(error: Refused) -> Reply[ErrorBody]:
    """The answer that tells a caller of `error`."""
    return Reply(error.body, error.status, error.headers)


def read_reply(data: bytes, headers: Mapping[str, str], body: type[BodyT]) -> Reply[BodyT]:
    """The answer that a NATS message carries.

    Raises:
        Refused: as the worker says; `OutcomeUnknown` where it is no answer of a worker.
    """
    try:
        envelope = from_json(data)
    except ValueError:
        raise OutcomeUnknown from None
    return open_envelope(envelope, headers, body)


def read_replies(data: bytes, headers: Mapping[str, str], count: int) -> list[Envelope]:
    """The answers, in their order, to `count` commands that went in one message, for `open_envelope`.

    A refusal of the whole message is one of each of its commands.

    Raises:
        OutcomeUnknown: it is no answer of a worker, or not one to each command.
    """
    try:
        answer = from_json(data)
        if answer.get("status", 0) >= 400:
            return [(answer, headers)] * count
        replies = [(reply, reply.get("headers") or {}) for reply in answer["replies"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OutcomeUnknown from None
    if len(replies) != count:
        raise OutcomeUnknown
    return replies


def open_envelope(envelope: Any, headers: Mapping[str, str], body: type[BodyT]) -> Reply[BodyT]:
    """The answer in a decoded envelope.

    Raises:
        Refused: as the worker says; `OutcomeUnknown` where it is no answer of a worker.
    """
    try:
        status, content = int(envelope["status"]), envelope["body"]
        if not isinstance(content, dict):
            raise OutcomeUnknown
        if status >= 400 and "error" in content:
            raise Refused.from_wire(status, content["error"], headers.get(ERROR_TYPE))
        said = {REPLAYED: headers[REPLAYED]} if REPLAYED in headers else {}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OutcomeUnknown from None
    return Reply.received(content, body, status, said)
