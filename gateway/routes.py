"""The HTTP API: each route makes a command of the request, sends it, and answers what came back."""

from typing import Any

from fastapi import FastAPI, Request, Response

from gateway.documentation import KEY_HEADER, body_of
from gateway.hot_calls import BOOK, HOLD, book, hold
from shared.client.command_client import CommandClient
from shared.contract.commands import GetAppointment, PlaceHold, SlotRequest
from shared.contract.errors import ErrorBody
from shared.contract.replies import AppointmentFound, BookingConfirmed, HoldPlaced, Reply

Responses = dict[int | str, dict[str, Any]]
REFUSALS: Responses = {
    # A range: it also keeps FastAPI from adding a 422 of its own, which is never answered.
    "4XX": {
        "model": ErrorBody,
        "description": "Too slow (408), over 16 KiB (413), not JSON (415)",
    },
    400: {"model": ErrorBody, "description": "A field is missing or wrong; the sentence names it"},
    503: {"model": ErrorBody, "description": "Not executed; repeat it"},
    504: {
        "model": ErrorBody,
        "description": "The outcome is not known; repeat it with the same key or token",
    },
}
CONFLICT: Responses = {409: {"model": ErrorBody, "description": "The slot is booked or held"}}


def register(app: FastAPI) -> None:
    """Answer the calls of the API. They are `app`'s own: a router that is included is searched twice."""

    @app.post(
        BOOK,
        status_code=201,
        response_model=BookingConfirmed,
        responses={
            **REFUSALS,
            **CONFLICT,
            422: {"model": ErrorBody, "description": "The Idempotency-Key was used for a different request"},
        },
        openapi_extra={**body_of(SlotRequest), **KEY_HEADER},
    )
    async def book_appointment(request: Request) -> Response:
        """Book a slot. Of all who ask for it, exactly one gets 201."""
        return _answer(await book(_client(request), request.scope["headers"], await request.body()))

    @app.post(
        HOLD,
        response_model=HoldPlaced,
        responses={**REFUSALS, **CONFLICT},
        openapi_extra=body_of(PlaceHold),
    )
    async def hold_appointment(request: Request) -> Response:
        """Hold a slot while its patient checks out, or extend the hold that `holdToken` names."""
        return _answer(await hold(_client(request), request.scope["headers"], await request.body()))

    @app.get(
        "/api/appointments/{id}",
        response_model=AppointmentFound,
        responses={**REFUSALS, 404: {"model": ErrorBody, "description": "No such appointment"}},
    )
    async def get_appointment(id: str, request: Request) -> Response:
        """Read an appointment."""
        return _answer(await _client(request).get_appointment(GetAppointment(id=id)))


def _client(request: Request) -> CommandClient:
    client: CommandClient = request.app.state.client
    return client


def _answer(reply: Reply[Any]) -> Response:
    return Response(reply.json, reply.status, reply.headers, media_type="application/json")
