"""The calls that answer a calendar in the format of RFC 5545: of a resource, and of one appointment.

A calendar has no `Last-Modified`: no process knows when a booking left it. Its `ETag` is made of its content.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.datastructures import QueryParams

from gateway.api.preconditions import PRECONDITIONS, refuse_others
from gateway.calendars.events import MEDIA_TYPE, download_of, subscription_of
from gateway.calendars.reads import read_bookings, read_schedules
from gateway.docs import parts
from gateway.http.connection import REQUESTER, ClientConnection
from shared.client.command_client import CommandClient
from shared.contract import examples
from shared.contract.caller import Scope
from shared.contract.commands import Command, GetAppointment
from shared.contract.errors import InvalidRequest, NoSuchAppointment
from shared.contract.fields import is_uuid
from shared.contract.operation import Call
from shared.contract.operations import APPOINTMENTS, GET
from shared.contract.parsing import validate
from shared.contract.schedule_operations import SLOTS
from shared.contract.schedules import GetSchedule

SUBSCRIPTION = Call(
    "getCalendar",
    "GET",
    "/api/calendars/{site}/{resource}.ics",
    SLOTS,
    "Subscribe to the calendar of a resource",
    """The bookings of the last 7 and the next 90 days as an iCalendar object, without names.

Calendar programs send no header, so the query may have a `key`: that of `slotkeeper-keys calendar`, which
opens this one calendar and nothing else. With `If-None-Match`, an unchanged calendar is 304.""",
    scope=Scope.READ,
)
DOWNLOAD = Call(
    "downloadAppointment",
    "GET",
    "/api/appointments/{id}.ics",
    APPOINTMENTS,
    "Download an appointment for a calendar",
    "An iCalendar object of the appointment, without the name. Its UID is the id.",
    scope=Scope.READ,
)
CALLS = (SUBSCRIPTION, DOWNLOAD)
KEY = "key"
_EXAMPLE = download_of(examples.BOOKED, {}).decode()
_NO_QUERY = frozenset[str]()
_SECRET = {"type": "string", "description": "The secret of the calendar."}


def register(app: FastAPI) -> None:
    """Declare the calls. Their paths must precede `/api/appointments/{id}`, which would match too."""
    one_at_a_time = asyncio.Lock()  # many large calendars at once would fill the pool of threads

    async def subscription(request: Request) -> Response:
        connection = _admit(request, SUBSCRIPTION, frozenset({KEY}))
        place = validate(GetSchedule, request.path_params)
        connection.identified.caller.check_site_of(place)
        client: CommandClient = app.state.client
        schedules = await read_schedules(client, place.site, (place.resource,), connection)
        bookings = await read_bookings(client, place.site, place.resource, datetime.now(UTC), connection)
        async with one_at_a_time:
            content = await asyncio.to_thread(subscription_of, place.resource, bookings, schedules)
        return _answer(request, content)

    async def download(request: Request) -> Response:
        connection = _admit(request, DOWNLOAD, _NO_QUERY)
        if not is_uuid(request.path_params["id"]):
            raise NoSuchAppointment
        client: CommandClient = app.state.client
        command = GetAppointment(id=request.path_params["id"].lower())
        appointment = (await client.send(GET, command, requester=connection)).body.appointment
        schedules = await read_schedules(client, appointment.site, appointment.resources, connection)
        response = _answer(request, download_of(appointment, schedules))
        response.headers["Content-Disposition"] = 'attachment; filename="appointment.ics"'
        return response

    _declare(app, SUBSCRIPTION, subscription, GetSchedule)
    _declare(app, DOWNLOAD, download, GetAppointment)


def _admit(request: Request, call: Call, parameters: frozenset[str]) -> ClientConnection:
    """Return the connection of a request that may make a call, and has no other parameters.

    Raises:
        Forbidden, InvalidRequest, Unauthorized
    """
    connection: ClientConnection = request.scope[REQUESTER]
    connection.identified.require(call.scope)
    headers = request.scope["headers"]
    refuse_others([header for header in headers if header[0] in PRECONDITIONS], {})
    if set(QueryParams(request.scope["query_string"])) - parameters:
        raise InvalidRequest("Query parameters are not accepted here, except key of a calendar")
    return connection


def _answer(request: Request, content: bytes) -> Response:
    """Answer with a calendar; 304 without it, if the caller has it already."""
    tag = f'"{sha256(content).hexdigest()[:32]}"'
    # The URL is a secret: no cache that others share may keep what it opens.
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    known = {each.strip().removeprefix("W/") for each in request.headers.get("If-None-Match", "").split(",")}
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=MEDIA_TYPE)


def _declare(
    app: FastAPI, call: Call, endpoint: Callable[[Request], Awaitable[Response]], in_path: type[Command]
) -> None:
    has_key = call is SUBSCRIPTION
    fields = in_path.model_json_schema()["properties"]
    parameters = [_parameter(name, "path", schema, required=True) for name, schema in fields.items()]
    if has_key:
        parameters.append(_parameter(KEY, "query", _SECRET, required=False))
    refusals = () if has_key else (NoSuchAppointment,)
    extra: dict[str, Any] = {
        "parameters": [*parameters, parts.REQUEST_ID_REFERENCE],
        "responses": parts.refusals(refusals, has_body=False),
        "security": parts.security(call.scope),
    }
    app.add_api_route(
        call.path,
        endpoint,
        methods=[call.method],
        operation_id=call.name,
        summary=call.summary,
        description=parts.with_scope(call.description, call.scope),
        tags=[call.tag],
        response_class=_Calendar,
        responses={200: {**parts.success(_EXAMPLE, "text/calendar"), "description": "The calendar"}},
        openapi_extra=extra,
    )


class _Calendar(Response):
    media_type = "text/calendar"


def _parameter(name: str, place: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": required,
        "description": schema.get("description", f"The {name}."),
        "schema": {name: value for name, value in schema.items() if name in ("type", "pattern")},
    }
