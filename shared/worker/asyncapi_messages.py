"""The messages of the AsyncAPI document: payload, headers and an example."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from shared.contract.commands import BookAppointment, Command
from shared.contract.envelope import Reply, many_to_wire, refusal
from shared.contract.errors import ErrorBody, Refused
from shared.contract.headers import (
    ASKED_AT,
    DEADLINE,
    ERROR_TYPE,
    IDEMPOTENCY_KEY,
    REPLAYED,
    REQUEST_ID,
    RETRY_AFTER,
)
from shared.contract.many import MOST_TOGETHER, many_of
from shared.contract.operation import Operation
from shared.contract.operations import ANY, OPERATIONS, as_json, refusal_of
from shared.contract.schemas import reference_to

Json = dict[str, Any]
_TEXT = {"type": "string"}
_HEADERS: dict[str, Json] = {
    DEADLINE: {
        "type": "string",
        "pattern": "^[0-9]+$",
        "description": "Unix milliseconds. Default: some seconds after receipt.",
    },
    ASKED_AT: {
        "type": "string",
        "pattern": "^[0-9]+$",
        "description": "When the caller asked, in Unix milliseconds, the same in all attempts of a request.",
    },
    REQUEST_ID: {**_TEXT, "description": "8 to 64 hexadecimal digits and dashes, for the logs."},
    IDEMPOTENCY_KEY: {
        **_TEXT,
        "description": "The field `idempotencyKey`: send either, or both with the same value.",
    },
    REPLAYED: {
        "const": "true",
        "description": "Sent if an earlier command with the same key made the booking.",
    },
    ERROR_TYPE: {**_TEXT, "description": "The name of the refusal."},
    RETRY_AFTER: {**_TEXT, "description": "Seconds to wait before a retry: with 503 and 504."},
    "Nats-Service-Error": {**_TEXT, "description": "The sentence of the refusal."},
    "Nats-Service-Error-Code": {**_TEXT, "description": "Its status."},
}
_DEADLINE, _ASKED_AT = "1893456000000", "1893455995000"


class Subject(NamedTuple):
    """A NATS subject: of an operation, or (`many`) of batches of its commands."""

    address: str
    operation: Operation[Any, Any]
    many: bool

    @property
    def takes(self) -> type[Command]:
        """The model of the messages to this subject."""
        command: type[Command] = self.operation.command
        return many_of(command) if self.many else command


def subjects_of(operations: Iterable[Operation[Any, Any]]) -> Iterator[Subject]:
    """Yield all subjects of operations."""
    for operation in operations:
        yield Subject(operation.subject, operation, many=False)
        if operation.batched:
            yield Subject(operation.many_subject, operation, many=True)


def request_to(subject: Subject) -> Json:
    """Describe the message to a subject."""
    many = subject.many
    command = as_json(subject.operation.example)
    item = {
        "command": command,
        "deadline": int(_DEADLINE),
        "askedAt": int(_ASKED_AT),
        "requestId": "0f3a5c7e9b1d2f4a",
        "first": True,
    }
    sent = {} if many else {DEADLINE: _DEADLINE, ASKED_AT: _ASKED_AT}
    names = [*sent, REQUEST_ID]
    if subject.takes is BookAppointment:
        names.append(IDEMPOTENCY_KEY)
    return {
        "title": subject.takes.__name__,
        "headers": _headers(names),
        "payload": reference_to(subject.takes),
        "examples": [
            {
                "headers": {REQUEST_ID: "0f3a5c7e9b1d2f4a"} | sent,
                "payload": {"commands": [item]} if many else command,
            }
        ],
    }


def reply_of(subject: Subject) -> Json:
    """Describe the reply of an executed command or batch."""
    operation = subject.operation
    body, reply = reference_to(operation.reply), Reply(operation.answer, operation.status)
    if not subject.many:
        payload, text = _envelope({"const": operation.status}, body), reply.to_wire()[0]
    else:
        one = _envelope({"type": "integer"}, {"anyOf": [body, reference_to(ErrorBody)]})
        one["properties"]["headers"] = {"type": "object", "additionalProperties": _TEXT}
        replies = {"type": "array", "items": one, "minItems": 1, "maxItems": MOST_TOGETHER}
        payload = {"type": "object", "required": ["replies"], "properties": {"replies": replies}}
        text = many_to_wire([reply])
    return {
        "title": f"{subject.takes.__name__}, answered",
        **({"headers": _headers([REPLAYED])} if subject.takes is BookAppointment else {}),
        "payload": payload,
        "examples": [{"payload": json.loads(text)}],
    }


def refused() -> Json:
    """Describe the reply of a refused command, with an example of every refusal."""
    own = {kind for operation in OPERATIONS for kind in operation.refusals}
    refusals = sorted(
        [*ANY, *(refusal_of(kind) for kind in own)], key=lambda error: (error.status, type(error).__name__)
    )
    return {
        "title": "Refused",
        "headers": _headers([ERROR_TYPE, RETRY_AFTER, "Nats-Service-Error", "Nats-Service-Error-Code"]),
        "payload": _envelope({"type": "integer", "minimum": 400}, reference_to(ErrorBody)),
        "examples": [_example(error) for error in refusals],
    }


def _example(error: Refused) -> Json:
    payload, headers = refusal(error).to_wire()
    return {"name": type(error).__name__, "headers": headers, "payload": json.loads(payload)}


def _envelope(status: Json, body: Json) -> Json:
    properties = {"status": status, "body": body}
    return {"type": "object", "required": ["status", "body"], "properties": properties}


def _headers(names: Sequence[str]) -> Json:
    return {"type": "object", "properties": {name: _HEADERS[name] for name in names}}
