"""What OpenAPI says of a call. FastAPI cannot say it, since calls read requests by themselves."""

from typing import Any

from gateway.api.preconditions import header_fields
from gateway.api.query import path_fields
from gateway.docs import parts
from shared.contract.headers import IDEMPOTENCY_KEY, IF_MATCH
from shared.contract.operation import Call, Operation
from shared.contract.operations import as_json
from shared.contract.schemas import without_null

_SENTENCES = {
    "id": "The appointment's id, as its booking was answered.",
    "from": "Where the window begins: an ISO 8601 time with an offset.",
    "to": "Where it ends: later than `from`, by at most 32 days.",
}
_IF_MATCH = {
    "name": IF_MATCH,
    "in": "header",
    "required": False,
    "description": "It is carried out only if the appointment has this version; `*` is any version.",
    "schema": {"type": "string", "pattern": r'^(\*|"[1-9][0-9]{0,17}")$'},
}


def describe(operation: Operation[Any, Any], call: Call) -> dict[str, Any]:
    """What FastAPI takes to declare the route of an operation's call, besides its path and method."""
    has_body = call.body is not None
    extra: dict[str, Any] = {
        "parameters": _parameters(operation, call),
        "responses": parts.refusals(operation.refusals, has_body=has_body),
    }
    if call.body is not None:
        extra["requestBody"] = parts.body_of(call.body, as_json(operation.example, call.body))
    success = parts.success(as_json(operation.answer))
    success["headers"] |= {name: parts.header(name) for name in call.answers}
    return {
        "operation_id": call.name,
        "summary": call.summary,
        "description": call.description,
        "tags": [call.tag],
        "status_code": operation.status,
        "response_model": operation.reply,
        "responses": {operation.status: success},
        "openapi_extra": extra,
    }


def _parameters(operation: Operation[Any, Any], call: Call) -> list[dict[str, Any]]:
    """What is sent beside the body: in the path, the query, and the headers."""
    schema, example = operation.command.model_json_schema(), as_json(operation.example)
    fields: dict[str, dict[str, Any]] = schema.get("properties", {})
    in_path, of_headers = path_fields(operation, call), header_fields(operation, call)
    parameters = []
    for name, field in fields.items():
        if name in in_path or (call.body is None and name not in of_headers.values()):
            place, required = "path" if name in in_path else "query", name in schema.get("required", ())
            parameters.append(_parameter(place, name, field, example.get(name), required=required))
    for name, field_name in of_headers.items():
        if name == IDEMPOTENCY_KEY:
            parameters.append(_parameter("header", name, fields[field_name], None, required=False))
        else:
            parameters.append(_IF_MATCH)
    return [*parameters, parts.REQUEST_ID_REFERENCE]


def _parameter(
    place: str, name: str, field: dict[str, Any], example: object, *, required: bool
) -> dict[str, Any]:
    schema = without_null(field)
    return {
        "name": name,
        "in": place,
        "required": required,
        "description": _SENTENCES.get(name) or schema.pop("description"),
        "schema": {key: schema[key] for key in schema if key not in ("title", "examples", "description")},
        **({"example": example} if example is not None else {}),
    }
