"""Reading: an appointment, its history, a day, what is taken, the grid."""

from fastapi import FastAPI, Request, Response

from gateway.answer import to_response
from gateway.documentation.calls import APPOINTMENTS, SLOTS, describe_call
from gateway.query import read_query
from gateway.routes.passing import client_of
from shared.contract.commands import AskGrid, GetAppointment, GetHistory, ListAppointments, ListSlots


def register(app: FastAPI) -> None:
    @app.get(
        "/api/appointments/{id}",
        **describe_call("getAppointment", "Read an appointment", APPOINTMENTS, GetAppointment),
    )
    async def get_appointment(request: Request) -> Response:
        """As it stands: moved and cancelled ones too."""
        return to_response(
            await client_of(request).get_appointment(await read_query(GetAppointment, request))
        )

    @app.get(
        "/api/appointments/{id}/history",
        **describe_call("getHistory", "Read an appointment's history", APPOINTMENTS, GetHistory),
    )
    async def get_history(request: Request) -> Response:
        """Its changes, the oldest first: `booked`, and then at most the 99 latest."""
        return to_response(await client_of(request).get_history(await read_query(GetHistory, request)))

    @app.get(
        "/api/appointments",
        **describe_call("listAppointments", "List appointments", APPOINTMENTS, ListAppointments),
    )
    async def list_appointments(request: Request) -> Response:
        """A page of the booked ones that overlap a window: of some resources or the site, by slot and id.

        What a page says in `next` is the `cursor` of the page after it; without `next` it is the last.
        """
        return to_response(
            await client_of(request).list_appointments(await read_query(ListAppointments, request))
        )

    @app.get(
        "/api/slots",
        **describe_call("listSlots", "List what is taken", SLOTS, ListSlots),
    )
    async def list_slots(request: Request) -> Response:
        """A page of what is booked or held in a window: whole cells, by slot and resource, without names.

        With `holds` unknown, Redis does not answer, and the page has what is booked.

        What a page says in `next` is the `cursor` of the page after it; without `next` it is the last.
        """
        return to_response(await client_of(request).list_slots(await read_query(ListSlots, request)))

    @app.get("/api/grid", **describe_call("getGrid", "Read the grid", SLOTS, AskGrid))
    async def get_grid(request: Request) -> Response:
        """How wide a cell is, counted from the Unix epoch, and how much one booking may have.

        A booking may begin at any instant. Two that touch the same cell of a resource conflict. Where
        `slotMinutes` is 0, each instant is a cell by itself, and no duration may be sent.
        """
        await read_query(AskGrid, request)
        return to_response(await client_of(request).get_grid())
