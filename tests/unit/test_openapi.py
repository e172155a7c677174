"""The documentation of the HTTP API, although its routes read their requests by themselves."""

from typing import Annotated

from fastapi import FastAPI, Header

from gateway.app import create_app
from shared.contract.commands import PlaceHold, SlotRequest
from shared.contract.fields import IdempotencyKey
from shared.process.settings import NatsSettings

declared = FastAPI()


@declared.post("/api/book-appointment")
async def book_appointment(
    body: SlotRequest,
    idempotency_key: Annotated[IdempotencyKey | None, Header(alias="Idempotency-Key")] = None,
) -> None:
    """As FastAPI would read it."""


@declared.post("/api/hold-appointment")
async def hold_appointment(body: PlaceHold) -> None:
    """As FastAPI would read it."""


def test_bodies_and_headers_are_documented_as_if_fastapi_read_them() -> None:
    """The schema says of bodies and headers what FastAPI says of routes that declare them."""
    ours, theirs = create_app(NatsSettings()).openapi(), declared.openapi()
    for path in theirs["paths"]:
        for part in ("parameters", "requestBody"):
            assert ours["paths"][path]["post"].get(part) == theirs["paths"][path]["post"].get(part)
    for name in ("SlotRequest", "PlaceHold"):
        assert ours["components"]["schemas"][name] == theirs["components"]["schemas"][name]


def test_every_schema_that_is_referred_to_is_there() -> None:
    """A program that is made from the schema finds all of its parts."""
    document = create_app(NatsSettings()).openapi()
    named = {
        text.partition('"')[0] for text in str(document).replace("'", '"').split("#/components/schemas/")[1:]
    }
    assert named <= set(document["components"]["schemas"])
    assert {"SlotRequest", "PlaceHold", "ErrorBody", "BookingConfirmed"} <= named
