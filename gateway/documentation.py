"""What a route reads of the request by itself, for OpenAPI: FastAPI documents what it reads.

Reading a body and a header costs FastAPI more than all the rest of a request.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.openapi.models import Schema
from pydantic import TypeAdapter

from shared.contract.commands import Command, PlaceHold, SlotRequest
from shared.contract.fields import IdempotencyKey
from shared.contract.headers import IDEMPOTENCY_KEY

BODIES = (PlaceHold, SlotRequest)
_REFERENCE = "#/components/schemas/{model}"

KEY_HEADER: dict[str, Any] = {
    "parameters": [
        {
            "name": IDEMPOTENCY_KEY,
            "in": "header",
            "required": False,
            "schema": {
                **TypeAdapter[str | None](IdempotencyKey | None).json_schema(),
                "title": IDEMPOTENCY_KEY,
            },
        }
    ]
}


def body_of(model: type[Command]) -> dict[str, Any]:
    """A request has such a body; the model is one of `BODIES`."""
    schema = {"$ref": _REFERENCE.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


class DocumentedApi(FastAPI):
    """FastAPI, whose documentation has the schemas of `BODIES` too."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        for model in BODIES:
            schema = Schema.model_validate(model.model_json_schema(ref_template=_REFERENCE))
            document["components"]["schemas"][model.__name__] = jsonable_encoder(schema, exclude_none=True)
        return document
