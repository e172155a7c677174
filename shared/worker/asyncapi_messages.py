"""The messages of the AsyncAPI document: payload, headers, and an example of each."""

import json
from collections.abc import Sequence
from typing import Any

from shared.contract.commands import BookAppointment
from shared.contract.envelope import Reply, many_to_wire, refusal
from shared.contract.errors import ErrorBody, Refused
from shared.contract.examples import ANY, EXAMPLES, as_json, refusal_of
from shared.contract.headers import (
    ASKED_AT,
    DEADLINE,
    ERROR_TYPE,
    IDEMPOTENCY_KEY,
    REPLAYED,
    REQUEST_ID,
    RETRY_AFTER,
)
from shared.contract.many import MOST_TOGETHER
from shared.contract.schemas import reference_to
from shared.worker.subscriptions import Subscription

Json = dict[str, Any]
_TEXT = {"type": "string"}
_HEADERS: dict[str, Json] = {
    DEADLINE: {
        "type": "string",
        "pattern": "^[0-9]+$",
        "description": "Unix milliseconds; without it, some seconds from its receipt.",
    },
    ASKED_AT: {
        "type": "string",
        "pattern": "^[0-9]+$",
        "description": "When the caller asked, in Unix milliseconds: the same in all attempts of a request.",
    },
    REQUEST_ID: {**_TEXT, "description": "8 to 64 hexadecimal digits and dashes, for the logs."},
    IDEMPOTENCY_KEY: {**_TEXT, "description": "The same as the field `idempotencyKey`; either may say it."},
    REPLAYED: {"const": "true", "description": "Sent where this answers a repeat, whose booking was there."},
    ERROR_TYPE: {**_TEXT, "description": "The name of the refusal."},
    RETRY_AFTER: {**_TEXT, "description": "Seconds to wait before repeating it: with 503 and 504."},
    "Nats-Service-Error": {**_TEXT, "description": "The sentence of the refusal."},
    "Nats-Service-Error-Code": {**_TEXT, "description": "Its status."},
}
_DEADLINE, _ASKED_AT = "1893456000000", "1893455995000"


def request_of(each: Subscription) -> Json:
    """The message that a subscriber takes."""
    many = each.one is not each.takes
    command = as_json(EXAMPLES[each.one].command)
    item = {
        "command": command,
        "deadline": int(_DEADLINE),
        "askedAt": int(_ASKED_AT),
        "requestId": "0f3a5c7e9b1d2f4a",
        "first": True,
    }
    sent = {} if many else {DEADLINE: _DEADLINE, ASKED_AT: _ASKED_AT}
    names = [*sent, REQUEST_ID]
    if each.takes is BookAppointment:
        names.append(IDEMPOTENCY_KEY)
    return {
        "title": each.takes.__name__,
        "headers": _headers(names),
        "payload": reference_to(each.takes),
        "examples": [
            {
                "headers": {REQUEST_ID: "0f3a5c7e9b1d2f4a"} | sent,
                "payload": {"commands": [item]} if many else command,
            }
        ],
    }


def reply_of(each: Subscription) -> Json:
    """The message that answers it, where it is carried out."""
    example = EXAMPLES[each.one]
    body, reply = reference_to(type(example.reply)), Reply(example.reply, example.status)
    if each.one is each.takes:
        payload, text = _envelope({"const": example.status}, body), reply.to_wire()[0]
    else:
        one = _envelope({"type": "integer"}, {"anyOf": [body, reference_to(ErrorBody)]})
        one["properties"]["headers"] = {"type": "object", "additionalProperties": _TEXT}
        replies = {"type": "array", "items": one, "minItems": 1, "maxItems": MOST_TOGETHER}
        payload = {"type": "object", "required": ["replies"], "properties": {"replies": replies}}
        text = many_to_wire([reply])
    return {
        "title": f"{each.takes.__name__}, answered",
        **({"headers": _headers([REPLAYED])} if each.takes is BookAppointment else {}),
        "payload": payload,
        "examples": [{"payload": json.loads(text)}],
    }


def refused() -> Json:
    """The message that answers any command which is not."""
    own = {kind for example in EXAMPLES.values() for kind in example.refusals}
    told = sorted(
        [*ANY, *(refusal_of(kind) for kind in own)], key=lambda error: (error.status, type(error).__name__)
    )
    return {
        "title": "Refused",
        "headers": _headers([ERROR_TYPE, RETRY_AFTER, "Nats-Service-Error", "Nats-Service-Error-Code"]),
        "payload": _envelope({"type": "integer", "minimum": 400}, reference_to(ErrorBody)),
        "examples": [_told(error) for error in told],
    }


def _told(error: Refused) -> Json:
    payload, headers = refusal(error).to_wire()
    return {"name": type(error).__name__, "headers": headers, "payload": json.loads(payload)}


def _envelope(status: Json, body: Json) -> Json:
    properties = {"status": status, "body": body}
    return {"type": "object", "required": ["status", "body"], "properties": properties}


def _headers(names: Sequence[str]) -> Json:
    return {"type": "object", "properties": {name: _HEADERS[name] for name in names}}
