"""Health of the gateway: whether it lives, and whether it can pass bookings on."""

import asyncio

from fastapi import APIRouter, Request, Response

from shared.client.booking_client import BookingClient
from shared.contract import subjects
from shared.contract.errors import Refused
from shared.contract.replies import OK, Readiness

ANSWER_SECONDS = 1.0
router = APIRouter(tags=["health"])


@router.get("/livez")
async def livez() -> dict[str, bool]:
    """Whether the process answers at all."""
    return {"alive": True}


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
async def readyz(request: Request) -> Response:
    """Whether NATS is connected, a booking worker is ready, and a hold worker answers.

    Redis alone does not make the gateway unready: bookings go on without it, and `checks` says so.
    """
    client: BookingClient = request.app.state.client
    checks = {"nats": OK if client.is_connected else "not connected"}
    booking, hold = await asyncio.gather(
        _ask(client, subjects.BOOKING_READY), _ask(client, subjects.HOLD_READY)
    )
    checks["booking_worker"] = _describe(booking)
    checks["hold_worker"] = _describe(hold)
    can_book = booking is not None and booking.checks.get("mongodb") == OK
    ready = client.is_connected and can_book and hold is not None
    return Response(
        Readiness(ready=ready, checks=checks).model_dump_json(),
        200 if ready else 503,
        {} if ready else {"Retry-After": "1"},
        media_type="application/json",
    )


async def _ask(client: BookingClient, subject: str) -> Readiness | None:
    try:
        return (await client.ask_ready(subject, timeout=ANSWER_SECONDS)).body
    except Refused:
        return None


def _describe(readiness: Readiness | None) -> str:
    if readiness is None:
        return "no worker answers"
    return "; ".join(f"{part}: {state}" for part, state in readiness.checks.items() if state != OK) or OK
