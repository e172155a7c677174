"""A FastAPI application that books: all routes share one client, as a dependency.

NATS_URL=nats://localhost:4222 uvicorn web:app
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Header, Request
from fastapi.responses import JSONResponse
from slotkeeper import Appointment, BookingClient, Refused


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with BookingClient(os.environ["NATS_URL"]) as client:
        app.state.bookings = client
        yield


app = FastAPI(lifespan=lifespan)


def bookings(request: Request) -> BookingClient:
    client: BookingClient = request.app.state.bookings
    return client


Bookings = Annotated[BookingClient, Depends(bookings)]
Key = Annotated[str, Header(alias="Idempotency-Key")]


@app.exception_handler(Refused)
async def answer_refusal(request: Request, refused: Refused) -> JSONResponse:
    """Answer a refusal with its own status, body and headers."""
    return JSONResponse(refused.body.model_dump(exclude_none=True), refused.status, refused.headers)


@app.post("/visits", status_code=201)
async def visit(slot: str, patient: str, client: Bookings, key: Key) -> Appointment:
    return await client.book(slot, patient, resources=["dr-lee"], duration_minutes=30, idempotency_key=key)


@app.delete("/visits/{id}")
async def cancel_visit(id: str, client: Bookings) -> Appointment:
    return await client.cancel(id)
