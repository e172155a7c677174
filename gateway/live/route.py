"""The call `GET /api/live`: the slots of a window, and each change of them, as server-sent events."""

from typing import Any

from fastapi import FastAPI, Request, Response

from gateway.api.calls import CallHandler
from gateway.api.routes import describe
from gateway.docs.parts import success
from gateway.http.connection import REQUESTER
from gateway.http.response import BODILESS
from gateway.live.slots import LiveSlots
from gateway.live.stream import HEADERS, LiveResponse
from shared.contract.commands import ListSlots
from shared.contract.errors import InvalidRequest
from shared.contract.operation import Call
from shared.contract.operations import LIST_SLOTS
from shared.contract.schedule_operations import SLOTS

LIVE = "/api/live"
CALL = Call(
    "watchSlots",
    "GET",
    LIVE,
    SLOTS,
    "Watch what is booked or held",
    """A stream of server-sent events, which ends only with its client or the gateway.

The first event is a `snapshot`: the body of `GET /api/slots` with all of its pages. Then come `changes`:
`{"taken": [...], "freed": [...], "holds": "known"}`. A row of `taken` replaces the row of the same `resource`
and `slot`; a row of `freed` is taken no more. A client that comes back, with `Last-Event-ID` or without, gets
a new snapshot. A comment comes at least each 15 s.""",
)
_EXAMPLE = LIST_SLOTS.answer.model_dump_json(exclude_none=True)


def register(app: FastAPI, live: LiveSlots) -> None:
    """Declare the call."""
    call = CallHandler(LIST_SLOTS, CALL, app.state)

    async def watch_slots(request: Request) -> Response:
        scope, body = request.scope, await request.body()
        identified = scope[REQUESTER].identified
        identified.require(CALL.scope)
        window, _ = call.read(scope["headers"], body, scope["query_string"], {})
        assert isinstance(window, ListSlots)  # noqa: S101 - the operation's command
        identified.caller.check_site_of(window)
        if window.cursor is not None:
            raise InvalidRequest("Unknown field cursor")
        if BODILESS in scope:
            live.check_room(identified.network)
            return Response(headers=HEADERS, media_type=LiveResponse.media_type)
        stream = await live.open(window, identified.network)
        return LiveResponse(stream, lambda: live.leave(stream))

    app.add_api_route(LIVE, watch_slots, methods=["GET"], **_described())


def _described() -> dict[str, Any]:
    described = describe(LIST_SLOTS, CALL)
    extra = described["openapi_extra"]
    extra["parameters"] = [each for each in extra["parameters"] if each.get("name") != "cursor"]
    example = f"event: snapshot\ndata: {_EXAMPLE}\nid: 1\nretry: 2000\n\n"
    return {
        **described,
        "response_model": None,
        "response_class": LiveResponse,
        "responses": {200: {**success(example, LiveResponse.media_type), "description": "The stream"}},
    }
