"""Holds: place, extend, release."""

from fastapi import FastAPI, Request, Response

from gateway.answer import to_response
from gateway.body import refuse_key
from gateway.documentation.calls import HOLDS, describe_call
from gateway.hot_calls import HOLD, hold
from gateway.routes.passing import body_as, client_of, refuse_query
from shared.contract.commands import PlaceHold, ReleaseHold


def register(app: FastAPI) -> None:
    @app.post(
        HOLD,
        **describe_call("holdAppointment", "Hold a slot", HOLDS, PlaceHold, body=PlaceHold),
    )
    async def hold_appointment(request: Request) -> Response:
        """The slot is kept while its patient checks out, or the hold that `holdToken` names is extended.

        Send a `holdToken` of your own, a random UUID: then repeating is safe.
        """
        refuse_query(request)
        return to_response(await hold(client_of(request), request.scope["headers"], await request.body()))

    @app.post(
        "/api/release-hold",
        **describe_call("releaseHold", "Release a hold", HOLDS, ReleaseHold, body=ReleaseHold),
    )
    async def release_hold(request: Request) -> Response:
        """End a hold by its token, on all that it has in its site; with a `slot`, only if it holds that."""
        refuse_key(request.scope["headers"])
        return to_response(await client_of(request).release_hold(await body_as(ReleaseHold, request)))
