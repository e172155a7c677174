"""The OpenAPI document: FastAPI's, with the schemas, refusals and headers that the calls share."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from gateway.docs import parts
from shared.contract.errors import ErrorBody
from shared.contract.headers import REQUEST_ID
from shared.contract.operations import APPOINTMENTS, HOLDS, OPERATIONS
from shared.contract.schedule_operations import SCHEDULES, SLOTS
from shared.contract.schemas import schemas_of

TITLE = "Booking service"
DESCRIPTION = """Books appointment slots so that no two callers ever get the same one.

Every refusal is `{"error": "..."}`, a sentence for people; its name for programs is in `Error-Type`.
Every GET answers HEAD too.
Calls below `/api/` need the header `Authorization: Bearer <key>`, unless the gateway is open, on loopback.
Answers to a key without the scope `names` leave out patients' names and contacts.
After 503 and 504, wait for `Retry-After` and retry with the same key or token: that is always safe.
Times are ISO 8601 with an offset, no finer than a millisecond; equal instants are one slot."""
TAGS = [
    {"name": APPOINTMENTS, "description": "Book, move, cancel, read."},
    {"name": HOLDS, "description": "Keep a slot while its patient checks out."},
    {"name": SLOTS, "description": "Taken and free slots, and the grid."},
    {"name": SCHEDULES, "description": "Opening hours and services of resources."},
    {"name": "health", "description": "For load balancers and operators."},
]
BODIES = {operation.http.body for operation in OPERATIONS if operation.http and operation.http.body}


class DocumentedApi(FastAPI):
    """FastAPI whose document has the shared components, and those of calls that are no operations.

    Args:
        models: the bodies of these calls.
        tags: the groups of these calls.
    """

    def __init__(
        self, *, models: Iterable[type[BaseModel]] = (), tags: Iterable[dict[str, str]] = (), **options: Any
    ) -> None:
        super().__init__(**options)
        self._models, self._tags = set(models), list(tags)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            answers = {operation.reply for operation in OPERATIONS}
            components = {
                "schemas": schemas_of({*BODIES, *answers, *self._models, ErrorBody}),
                "responses": parts.common_refusals(),
                "headers": parts.HEADERS,
                "parameters": {REQUEST_ID: parts.REQUEST_ID_PARAMETER},
                "securitySchemes": parts.SECURITY_SCHEMES,
            }
            self.openapi_schema = {
                **super().openapi(),
                "tags": [*TAGS, *self._tags],
                "components": components,
            }
        return self.openapi_schema
