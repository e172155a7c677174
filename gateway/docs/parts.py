"""The parts of a call's description: bodies and answers, with headers and examples."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from shared.contract.commands import Command
from shared.contract.errors import (
    RETRY_AFTER_SECONDS,
    ErrorBody,
    InvalidRequest,
    MethodNotAllowed,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    TooLarge,
    TooSlow,
    UnsupportedMediaType,
    UriTooLong,
)
from shared.contract.headers import (
    ERROR_TYPE,
    ETAG,
    REPLAYED,
    REQUEST_ID,
    RETRY_AFTER,
    etag_of,
)
from shared.contract.operations import ANY, as_json, refusal_of
from shared.contract.schemas import reference_to

# Those of many calls, said once: in the document's components, and by reference in each call.
COMMON: tuple[type[Refused], ...] = (
    InvalidRequest,
    MethodNotAllowed,
    TooSlow,
    TooLarge,
    UriTooLong,
    UnsupportedMediaType,
    NotExecuted,
    OutcomeUnknown,
)
_MEANINGS = {
    400: "A field or parameter is missing, wrong or unknown: the sentence names it.",
    403: "The call came from another host, or through a proxy; nothing was done.",
    404: "There is no such thing.",
    405: "The path has other methods: `Allow` names them.",
    408: "The body was not there in 10 s; nothing was done, and the connection is closed.",
    409: "It is taken, or cannot be changed any more; nothing was done.",
    412: "The appointment has another version than `If-Match` says; nothing was changed.",
    413: "The body is larger than 16 KiB; nothing was done, and the connection is closed.",
    414: "The URI is longer than 16 KiB; nothing was done.",
    415: "The body does not say that it is JSON, or is compressed; nothing was done.",
    422: "The `Idempotency-Key` was used for a different request; nothing was changed.",
    503: "Nothing was done, nor will be. Repeat it after `Retry-After`.",
    504: "It may have been done. Repeat it after `Retry-After`, with the same key or token: that is safe.",
}

HEADERS: dict[str, dict[str, Any]] = {
    REQUEST_ID: {
        "description": "The id of the request, as it stands in every log line.",
        "schema": {"type": "string", "pattern": "^[0-9A-Fa-f-]{8,64}$"},
        "example": "0f3a5c7e9b1d2f4a6c8e0b2d4f6a8c0e",
    },
    REPLAYED: {
        "description": "Sent where this is the answer to a repeat, whose booking was there already.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    ETAG: {
        "description": "The appointment's version in double quotes, for `If-Match`.",
        "schema": {"type": "string", "pattern": '^"[1-9][0-9]*"$'},
        "example": etag_of(1),
    },
    ERROR_TYPE: {
        "description": "What the refusal is, for programs; take a name that you do not know as its status.",
        "schema": {"type": "string"},
        "example": "SlotAlreadyBooked",
    },
    RETRY_AFTER: {
        "description": "Seconds to wait before repeating it.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
        "example": RETRY_AFTER_SECONDS,
    },
    "Allow": {
        "description": "The methods of the path.",
        "schema": {"type": "string"},
        "example": "DELETE, GET, HEAD, PATCH",
    },
}
REQUEST_ID_PARAMETER = {
    "name": REQUEST_ID,
    "in": "header",
    "description": "8 to 64 hexadecimal digits and dashes; one of another form is replaced by a new one.",
    # No example: a page that tries a call out would send it, the same from all who try.
    "schema": {"type": "string"},
}
REQUEST_ID_REFERENCE = {"$ref": f"#/components/parameters/{REQUEST_ID}"}


def header(name: str) -> dict[str, str]:
    """A header of `HEADERS`, by reference."""
    return {"$ref": f"#/components/headers/{name}"}


def body_of(model: type[Command], example: dict[str, object]) -> dict[str, Any]:
    """A request has such a body."""
    content = {"schema": reference_to(model), "example": example}
    return {"required": True, "content": {"application/json": content}}


def success(example: dict[str, object] | str, media_type: str = "application/json") -> dict[str, Any]:
    """What FastAPI does not know of the answer to a call that was carried out."""
    return {
        "description": "Done" if isinstance(example, str) else str(example.get("message", "Found")),
        "headers": {REQUEST_ID: header(REQUEST_ID)},
        "content": {media_type: {"example": example}},
    }


def refusals(own: Iterable[type[Refused]], *, has_body: bool) -> dict[str, Any]:
    """The answers of a call that was not carried out, by their statuses; `own` are those of this call."""
    kinds: defaultdict[int, list[Refused]] = defaultdict(list)
    for kind in own:
        kinds[kind.status].append(refusal_of(kind))
    common = (kind for kind in COMMON if has_body or kind is not UnsupportedMediaType)
    responses = {**by_reference(*common), **{str(status): refusal(*kinds[status]) for status in kinds}}
    return dict(sorted(responses.items()))


def by_reference(*kinds: type[Refused]) -> dict[str, Any]:
    """The answers that tell of some of `COMMON`."""
    return {str(kind.status): {"$ref": f"#/components/responses/{kind.__name__}"} for kind in kinds}


def common_refusals() -> dict[str, Any]:
    """The document's components that `refusals` refers to."""
    told = {kind: [error for error in ANY if error.status == kind.status] for kind in COMMON}
    return {kind.__name__: refusal(*told[kind] or [kind()]) for kind in COMMON}


def refusal(*errors: Refused) -> dict[str, Any]:
    """The answer by which one of `errors`, all of one status, is told."""
    status = errors[0].status
    names = [REQUEST_ID, *errors[0].headers, *(["Allow"] if status == 405 else [])]
    examples = {
        type(error).__name__: {"summary": error.text, "value": as_json(error.body)} for error in errors
    }
    return {
        "description": _MEANINGS[status],
        "headers": {name: header(name) for name in names},
        "content": {"application/json": {"schema": reference_to(ErrorBody), "examples": examples}},
    }
