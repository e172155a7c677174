"""What OpenAPI says of a call: FastAPI would say it of what it reads, but the routes read by themselves."""

from typing import Any

from gateway.documentation import parts
from shared.contract.commands import (
    BookAppointment,
    CancelAppointment,
    Command,
    GetAppointment,
    MoveAppointment,
)
from shared.contract.examples import EXAMPLES, as_json
from shared.contract.headers import ETAG, REPLAYED

APPOINTMENTS, HOLDS, SLOTS, HEALTH = "appointments", "holds", "slots", "health"
TAGS = [
    {"name": APPOINTMENTS, "description": "Book, move, cancel, read."},
    {"name": HOLDS, "description": "Keep a slot while its patient checks out."},
    {"name": SLOTS, "description": "What is taken, and where slots may lie."},
    {"name": HEALTH, "description": "For load balancers and operators."},
]


def describe_call(
    operation_id: str,
    summary: str,
    tag: str,
    command: type[Command],
    *,
    body: type[Command] | None = None,
) -> dict[str, Any]:
    """What FastAPI's decorator of a route takes, besides the path.

    `command` is what the route sends, as `EXAMPLES` knows it: what is in the path, or in no `body`, is a
    parameter.
    """
    example = EXAMPLES[command]
    extra: dict[str, Any] = {
        "parameters": parts.parameters_of(command, body),
        "responses": parts.refusals(example.refusals, has_body=body is not None),
    }
    if body is not None:
        extra["requestBody"] = parts.body_of(body, as_json(example.command, body))
    success = parts.success(as_json(example.reply))
    if command is BookAppointment:
        success["headers"][REPLAYED] = parts.header(REPLAYED)
    if command in (BookAppointment, GetAppointment, MoveAppointment, CancelAppointment):
        success["headers"][ETAG] = parts.header(ETAG)
    return {
        "operation_id": operation_id,
        "summary": summary,
        "tags": [tag],
        "status_code": example.status,
        "response_model": type(example.reply),
        "responses": {example.status: success},
        "openapi_extra": extra,
    }
