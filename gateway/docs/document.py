"""The OpenAPI document, as FastAPI makes it, with what the routes read and answer by themselves."""

from typing import Any

from fastapi import FastAPI

from gateway.docs import parts
from gateway.webhooks.calls import CALLS as WEBHOOK_CALLS
from gateway.webhooks.calls import WEBHOOKS
from shared.contract.errors import ErrorBody
from shared.contract.headers import REQUEST_ID
from shared.contract.operations import APPOINTMENTS, HOLDS, OPERATIONS, SLOTS
from shared.contract.schemas import schemas_of

TITLE = "Booking service"
DESCRIPTION = """Books appointment slots so that no two callers ever get the same one.

Every refusal is `{"error": "..."}`, a sentence for people, and says its name for programs in `Error-Type`.
Every GET answers HEAD too.
After 503 and 504 wait for `Retry-After` and repeat it with the same key or token: that is always safe.
Times are ISO 8601 with an offset, no finer than a millisecond; equal instants are one slot."""
TAGS = [
    {"name": APPOINTMENTS, "description": "Book, move, cancel, read."},
    {"name": HOLDS, "description": "Keep a slot while its patient checks out."},
    {"name": SLOTS, "description": "What is taken, and where slots may lie."},
    {"name": WEBHOOKS, "description": "Have events delivered to a URL. Answered on loopback only."},
    {"name": "health", "description": "For load balancers and operators."},
]
BODIES = {operation.http.body for operation in OPERATIONS if operation.http and operation.http.body}
BODIES |= {type(call.body) for call in WEBHOOK_CALLS if call.body}


class DocumentedApi(FastAPI):
    """FastAPI, whose document has what calls share too: schemas, refusals, headers."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            answers = {operation.reply for operation in OPERATIONS}
            answers |= {type(call.answer) for call in WEBHOOK_CALLS}
            components = {
                "schemas": schemas_of({*BODIES, *answers, ErrorBody}),
                "responses": parts.common_refusals(),
                "headers": parts.HEADERS,
                "parameters": {REQUEST_ID: parts.REQUEST_ID_PARAMETER},
            }
            self.openapi_schema = {**super().openapi(), "tags": TAGS, "components": components}
        return self.openapi_schema
