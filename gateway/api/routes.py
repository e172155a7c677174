"""Declare the calls as routes of FastAPI, with their OpenAPI.

FastAPI cannot derive the parameters and bodies of the calls, because the calls parse requests themselves.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import reduce
from operator import or_
from typing import Any

from fastapi import FastAPI, Request, Response

from gateway.api.calls import CallHandler, handlers_of
from gateway.api.preconditions import header_fields
from gateway.api.query import path_fields
from gateway.docs import parts
from gateway.http.connection import REQUESTER
from gateway.http.response import to_response
from shared.contract.caller import Scope
from shared.contract.headers import IDEMPOTENCY_KEY, IF_MATCH
from shared.contract.operation import Call, Operation
from shared.contract.operations import OPERATIONS, as_json
from shared.contract.schemas import without_null

_DESCRIPTIONS = {
    "id": "The id of the appointment, from the reply to its booking.",
    "from": "The begin of the window: an ISO 8601 time with an offset.",
    "to": "The end of the window: later than `from`, by at most 32 days.",
}
_IF_MATCH = {
    "name": IF_MATCH,
    "in": "header",
    "required": False,
    "description": "Require this version; `*` is any version.",
    "schema": {"type": "string", "pattern": r'^(\*|"[1-9][0-9]{0,17}")$'},
}


def register(app: FastAPI, operations: Iterable[Operation[Any, Any]] = OPERATIONS) -> None:
    """Add a route for every operation that has an HTTP call.

    The routes belong to `app` itself, because Starlette searches an included router twice.
    """
    for call in handlers_of(operations, app.state):
        described = describe(call.operation, call.http, [other.operation for other in call.others])
        app.add_api_route(call.path, _endpoint(call), methods=[call.http.method], **described)


def _endpoint(call: CallHandler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        scope, body = request.scope, await request.body()
        return to_response(
            await call.handle(
                scope[REQUESTER], scope["headers"], body, scope["query_string"], request.path_params
            )
        )

    return endpoint


def describe(
    operation: Operation[Any, Any], call: Call, others: Sequence[Operation[Any, Any]] = ()
) -> dict[str, Any]:
    """Return the arguments of `add_api_route` that describe an operation's call.

    `others`: the further operations of the call, one of which is carried out if the body has its fields.
    """
    described = [(operation, call), *((other, other.http) for other in others if other.http)]
    scopes = [scope for _, each in described for scope in _scopes(each)]
    own = dict.fromkeys(kind for each, _ in described for kind in each.refusals)
    extra: dict[str, Any] = {
        "parameters": _parameters(operation, call),
        "responses": parts.refusals(own, has_body=call.body is not None),
        "security": [part for scope in dict.fromkeys(scopes) for part in parts.security(scope)],
    }
    if call.body is not None:
        bodies = {its.body: as_json(each.example, its.body) for each, its in described if its.body}
        extra["requestBody"] = parts.body_of(bodies)
    success = parts.success(as_json(operation.answer))
    success["headers"] |= {name: parts.header(name) for name in call.answers}
    return {
        "operation_id": call.name,
        "summary": call.summary,
        "description": "\n\n".join(
            parts.with_scope(its.description, its.scope, its.field_scopes) for _, its in described
        ),
        "tags": [call.tag],
        "status_code": operation.status,
        "response_model": reduce(or_, [each.reply for each, _ in described]),
        "responses": {operation.status: success},
        "openapi_extra": extra,
    }


def _scopes(call: Call) -> list[Scope | None]:
    """Return the scopes of which a key needs one; None: any key may make the call."""
    return [scope for _, scope in call.field_scopes] or [call.scope]


def _parameters(operation: Operation[Any, Any], call: Call) -> list[dict[str, Any]]:
    """Return the parameters in the path, the query and the headers."""
    schema, example = operation.command.model_json_schema(), as_json(operation.example)
    fields: dict[str, dict[str, Any]] = schema.get("properties", {})
    in_path, in_headers = path_fields(operation, call), header_fields(operation, call)
    parameters = []
    for name, field in fields.items():
        if name in in_path or (call.body is None and name not in in_headers.values()):
            place, required = "path" if name in in_path else "query", name in schema.get("required", ())
            parameters.append(_parameter(place, name, field, example.get(name), required=required))
    for name, field_name in in_headers.items():
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
        "description": _DESCRIPTIONS.get(name) or schema.pop("description"),
        "schema": {key: schema[key] for key in schema if key not in ("title", "examples", "description")},
        **({"example": example} if example is not None else {}),
    }
