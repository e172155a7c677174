"""The HTTP API: each route makes a command of the request, sends it, and answers what came back."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response

from shared.client.booking_client import BookingClient
from shared.contract.commands import BookAppointment, GetAppointment, PlaceHold, SlotRequest
from shared.contract.errors import ErrorBody, InvalidRequest
from shared.contract.fields import IdempotencyKey
from shared.contract.headers import IDEMPOTENCY_KEY
from shared.contract.replies import AppointmentFound, BookingConfirmed, HoldPlaced, Reply


async def _client(request: Request) -> BookingClient:
    client: BookingClient = request.app.state.client
    return client


Client = Annotated[BookingClient, Depends(_client)]
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
router = APIRouter(prefix="/api", responses=REFUSALS)


async def _sent_once(request: Request) -> None:
    if len(request.headers.getlist(IDEMPOTENCY_KEY)) > 1:
        raise InvalidRequest(f"{IDEMPOTENCY_KEY} was sent more than once")


@router.post(
    "/book-appointment",
    status_code=201,
    response_model=BookingConfirmed,
    responses={
        **CONFLICT,
        422: {"model": ErrorBody, "description": "The Idempotency-Key was used for a different request"},
    },
    dependencies=[Depends(_sent_once)],
)
async def book_appointment(
    body: SlotRequest,
    client: Client,
    idempotency_key: Annotated[IdempotencyKey | None, Header(alias=IDEMPOTENCY_KEY)] = None,
) -> Response:
    """Book a slot. Of all who ask for it, exactly one gets 201."""
    command = BookAppointment(**body.model_dump(exclude_none=True), idempotencyKey=idempotency_key)
    return _answer(await client.book(command))


@router.post("/hold-appointment", response_model=HoldPlaced, responses=CONFLICT)
async def hold_appointment(body: PlaceHold, client: Client) -> Response:
    """Hold a slot while its patient checks out, or extend the hold that `holdToken` names."""
    return _answer(await client.place_hold(body))


@router.get(
    "/appointments/{id}",
    response_model=AppointmentFound,
    responses={404: {"model": ErrorBody, "description": "No such appointment"}},
)
async def get_appointment(id: str, client: Client) -> Response:
    """Read an appointment."""
    return _answer(await client.get_appointment(GetAppointment(id=id)))


def _answer(reply: Reply[Any]) -> Response:
    return Response(reply.json, reply.status, reply.headers, media_type="application/json")
