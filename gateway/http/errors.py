"""Answer every refusal as JSON: `{"error": "..."}`, with `outcome` if the service failed."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route

from gateway.http.access_log import REFUSED
from gateway.http.response import to_response
from shared.contract.envelope import refusal
from shared.contract.errors import (
    InvalidRequest,
    MethodNotAllowed,
    NoSuchRange,
    NotFound,
    OutcomeUnknown,
    Refused,
)
from shared.contract.parsing import NOT_JSON, describe

_OF_STARLETTE: dict[int, type[Refused]] = {404: NotFound, 405: MethodNotAllowed, 416: NoSuchRange}


def install_error_handlers(app: FastAPI) -> None:
    """Answer refusals of the service, of FastAPI and of Starlette in one shape."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        return _answer(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return _answer(request, InvalidRequest(describe(error.errors()[0])))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        kind = _OF_STARLETTE.get(error.status_code)
        response = _answer(request, kind() if kind else InvalidRequest(NOT_JSON))
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = _methods(request, headers.get("Allow"))
        response.headers.update(headers)
        return response

    @app.exception_handler(Exception)
    async def failed(request: Request, _error: Exception) -> Response:
        return _answer(request, unknown(request.method))  # Starlette then raises it again, for the log


def unknown(method: str) -> OutcomeUnknown:
    """Return the refusal of a request whose outcome is unknown; a GET has changed nothing."""
    return OutcomeUnknown(OutcomeUnknown.of_a_read if method == "GET" else None)


def _answer(request: Request, error: Refused) -> Response:
    request.scope[REFUSED] = error
    return to_response(refusal(error))


def _methods(request: Request, first: str | None) -> str:
    """Return the methods of all routes of a path; Starlette names only those of the `first` route.

    A route of a later path that matches too, as `/{id}` matches `/{id}.ics`, is another resource.
    """
    routes = (route for route in request.app.routes if isinstance(route, Route))
    partial = [route for route in routes if route.matches(request.scope)[0] is Match.PARTIAL]
    same = (route for route in partial if route.path == partial[0].path)
    methods = {method for route in same for method in route.methods or ()} or {first or "GET"}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
