"""The life of a booking: book, move, cancel."""

from fastapi import FastAPI, Request, Response

from gateway.answer import to_response
from gateway.documentation.calls import APPOINTMENTS, describe_call
from gateway.hot_calls import BOOK, book
from gateway.preconditions import idempotency_key, if_version
from gateway.query import read_query
from gateway.routes.passing import body_as, client_of, refuse_query
from shared.contract.commands import (
    BookAppointment,
    CancelAppointment,
    GetAppointment,
    MoveAppointment,
    MoveRequest,
    SlotRequest,
)


def register(app: FastAPI) -> None:
    @app.post(
        BOOK,
        **describe_call("bookAppointment", "Book a slot", APPOINTMENTS, BookAppointment, body=SlotRequest),
    )
    async def book_appointment(request: Request) -> Response:
        """Of all who ask for a slot, exactly one gets 201.

        Send an `Idempotency-Key`, another for each booking that you want: then repeating is always safe.
        """
        refuse_query(request)
        return to_response(await book(client_of(request), request.scope["headers"], await request.body()))

    @app.patch(
        "/api/appointments/{id}",
        **describe_call(
            "moveAppointment", "Move an appointment", APPOINTMENTS, MoveAppointment, body=MoveRequest
        ),
    )
    async def move_appointment(request: Request) -> Response:
        """It gets another slot, duration or resources; what is not sent stays as it is.

        Its id stays. Where the target is taken, it stays where it was; else what it leaves is free at that
        instant. Moving it to where it is already is 200 as well. Send an `Idempotency-Key`, another for each
        move that you want: then a late repeat does not move it back. With `If-Match` it is moved only if it
        has that version.
        """
        body, headers = await body_as(MoveRequest, request), request.scope["headers"]
        command = MoveAppointment.of(
            body, request.path_params["id"], idempotency_key(headers), if_version(headers)
        )
        return to_response(await client_of(request).move(command))

    @app.delete(
        "/api/appointments/{id}",
        **describe_call("cancelAppointment", "Cancel an appointment", APPOINTMENTS, CancelAppointment),
    )
    async def cancel_appointment(request: Request) -> Response:
        """What it claimed is free at that instant; it can still be read. Repeats get the same.

        With `If-Match` it is cancelled only if it has that version; a repeat of that gets 200 too.
        """
        asked, version = await read_query(GetAppointment, request), if_version(request.scope["headers"])
        command = CancelAppointment.model_construct(id=asked.id, ifVersion=version)
        return to_response(await client_of(request).cancel(command))
