"""Build the parts of a call's OpenAPI description: bodies, responses, headers and examples."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from shared.contract.caller import Scope
from shared.contract.commands import Command
from shared.contract.errors import (
    RETRY_AFTER_SECONDS,
    ErrorBody,
    Forbidden,
    InvalidRequest,
    MethodNotAllowed,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    TooLarge,
    TooManyRequests,
    TooSlow,
    Unauthorized,
    UnsupportedMediaType,
    UriTooLong,
)
from shared.contract.headers import (
    APPOINTMENT_TOKEN,
    AUTHENTICATE,
    ERASED,
    ERROR_TYPE,
    ETAG,
    REPLAYED,
    REQUEST_ID,
    RETRY_AFTER,
    etag_of,
)
from shared.contract.operations import ANY, as_json, refusal_of
from shared.contract.schemas import reference_to

# The refusals of many calls: components of the document, to which the calls refer.
COMMON: tuple[type[Refused], ...] = (
    InvalidRequest,
    Unauthorized,
    Forbidden,
    MethodNotAllowed,
    TooSlow,
    TooLarge,
    UriTooLong,
    UnsupportedMediaType,
    TooManyRequests,
    NotExecuted,
    OutcomeUnknown,
)
_MEANINGS = {
    400: "A field or parameter is missing, wrong or unknown: the sentence names it.",
    401: "There is no valid key: it is absent, unknown, wrong, expired or revoked. Nothing was done.",
    403: "The key does not permit the call: its scope, site or origin is missing. Nothing was done.",
    404: "There is no such thing.",
    405: "The path has other methods: `Allow` names them.",
    408: "The body was not complete within 10 s; nothing was done, and the connection is closed.",
    409: "The slot is taken, or the appointment cannot be changed any more; nothing was done.",
    412: "The appointment has another version than `If-Match`; nothing was changed.",
    413: "The body is larger than 16 KiB; nothing was done, and the connection is closed.",
    414: "The URI is longer than 16 KiB; nothing was done.",
    415: "The `Content-Type` is not JSON, or the body is compressed; nothing was done.",
    422: "The `Idempotency-Key` was used for a different request; nothing was changed.",
    429: "The caller has used up its part; nothing was done. `Retry-After` says when to come back.",
    503: "Not executed: nothing was done, and nothing will be. Retry after `Retry-After`.",
    504: "Unknown: perhaps executed. A retry after `Retry-After` with the same key or token is safe.",
}

HEADERS: dict[str, dict[str, Any]] = {
    REQUEST_ID: {
        "description": "The id of the request, which is in every log line.",
        "schema": {"type": "string", "pattern": "^[0-9A-Fa-f-]{8,64}$"},
        "example": "0f3a5c7e9b1d2f4a6c8e0b2d4f6a8c0e",
    },
    REPLAYED: {
        "description": "Sent if the response is a replay: an earlier attempt made the booking.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    APPOINTMENT_TOKEN: {
        "description": "The secret of a link: its holder reads, moves and cancels this appointment. "
        "Sent if the gateway has `LINK_KEYS_FILE`.",
        "schema": {"type": "string", "pattern": "^ml_[a-z0-9]{1,16}_[A-Za-z0-9_-]{43}$"},
    },
    ERASED: {
        "description": "Sent with the replay of a booking whose name was erased. Such a replay has no link.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    ETAG: {
        "description": "The appointment's version in double quotes, for `If-Match`.",
        "schema": {"type": "string", "pattern": '^"[1-9][0-9]*"$'},
        "example": etag_of(1),
    },
    ERROR_TYPE: {
        "description": "The name of the refusal, for programs; treat an unknown name like its status.",
        "schema": {"type": "string"},
        "example": "SlotAlreadyBooked",
    },
    AUTHENTICATE: {
        "description": "How to send a key.",
        "schema": {"type": "string"},
        "example": "Bearer",
    },
    RETRY_AFTER: {
        "description": "Seconds to wait before a retry.",
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
    "description": "8 to 64 hexadecimal digits and dashes; the gateway replaces any other value.",
    # No example: a page that tries out a call would fill it in, so all its users would send one id.
    "schema": {"type": "string"},
}
KEY = "key"
SECURITY_SCHEMES = {
    KEY: {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key (`sk_…`) or a JWT. A gateway without keys, on loopback, needs none.",
    }
}
REQUEST_ID_REFERENCE = {"$ref": f"#/components/parameters/{REQUEST_ID}"}


def header(name: str) -> dict[str, str]:
    """Return a reference to a header of `HEADERS`."""
    return {"$ref": f"#/components/headers/{name}"}


def security(scope: Scope | None) -> list[dict[str, list[str]]]:
    """Return the `security` of a call that needs a scope; None: any key may make it."""
    return [{KEY: [] if scope is None else [str(scope)]}]


def with_scope(description: str, scope: Scope | None, of_fields: Iterable[tuple[str, Scope]] = ()) -> str:
    """Return the description of a call, with the scope that it needs, and those that its fields need."""
    scopes = [f"`{scope}`"] if scope is not None else []
    scopes += [f"`{needed}` for `{field}`" for field, needed in of_fields]
    needed = f"a key with the scope {' and '.join(scopes)}" if scopes else "any key"
    return f"{description}\n\nNeeds {needed}."


def body_of(bodies: Mapping[type[Command], dict[str, object]]) -> dict[str, Any]:
    """Return the `requestBody` of a call that takes one of some models, each with its example."""
    schemas = [reference_to(model) for model in bodies]
    if len(bodies) == 1:
        content: dict[str, Any] = {"schema": schemas[0], "example": next(iter(bodies.values()))}
    else:
        examples = {model.__name__: {"value": example} for model, example in bodies.items()}
        content = {"schema": {"anyOf": schemas}, "examples": examples}
    return {"required": True, "content": {"application/json": content}}


def success(example: dict[str, object] | str, media_type: str = "application/json") -> dict[str, Any]:
    """Return the parts of a 2xx response that FastAPI cannot derive."""
    return {
        "description": "Done" if isinstance(example, str) else str(example.get("message", "Found")),
        "headers": {REQUEST_ID: header(REQUEST_ID)},
        "content": {media_type: {"example": example}},
    }


def refusals(own: Iterable[type[Refused]], *, has_body: bool) -> dict[str, Any]:
    """Return the refusals of a call by status: its `own` ones and the common ones."""
    kinds: defaultdict[int, list[Refused]] = defaultdict(list)
    own = list(own)
    if any(kind.status == TooManyRequests.status for kind in own):
        own.append(TooManyRequests)
    for kind in own:
        kinds[kind.status].append(refusal_of(kind))
    common = (kind for kind in COMMON if has_body or kind is not UnsupportedMediaType)
    responses = {**by_reference(*common), **{str(status): refusal(*kinds[status]) for status in kinds}}
    return dict(sorted(responses.items()))


def by_reference(*kinds: type[Refused]) -> dict[str, Any]:
    """Return references to the responses of some classes of `COMMON`, by status."""
    return {str(kind.status): {"$ref": f"#/components/responses/{kind.__name__}"} for kind in kinds}


def common_refusals() -> dict[str, Any]:
    """Return the components of the document to which `refusals` refers."""
    errors = {kind: [error for error in ANY if error.status == kind.status] for kind in COMMON}
    return {kind.__name__: refusal(*errors[kind] or [kind()]) for kind in COMMON}


def refusal(*errors: Refused) -> dict[str, Any]:
    """Return the response for `errors`, which have the same status; each is an example."""
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
