"""Replies: the bodies of 2xx answers, and the envelope that carries any answer over NATS."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel

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


class AppointmentFound(BaseModel):
    appointment: Appointment


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


class Readiness(BaseModel):
    """Whether a process can serve, and how each part it needs is: `ok` or what is wrong."""

    ready: bool
    checks: dict[str, str]


BodyT = TypeVar("BodyT", bound=BaseModel)


@dataclass(frozen=True)
class Reply(Generic[BodyT]):
    """An answer: its HTTP status, its body, and what HTTP says in headers."""

    body: BodyT
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> str:
        return self.body.model_dump_json(exclude_none=True)

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


def read_reply(data: bytes, headers: dict[str, str], body: type[BodyT]) -> Reply[BodyT]:
    """The answer that a NATS message carries.

    Raises:
        Refused: as the worker says; `OutcomeUnknown` where it is no answer of a worker.
    """
    try:
        envelope = json.loads(data)
        status = int(envelope["status"])
        if status >= 400 and "error" in envelope["body"]:
            raise Refused.from_wire(status, envelope["body"]["error"], headers.get(ERROR_TYPE))
        said = {name: headers[name] for name in (REPLAYED,) if name in headers}
        return Reply(body.model_validate(envelope["body"]), status, said)
    except (ValueError, KeyError, TypeError):
        raise OutcomeUnknown from None
