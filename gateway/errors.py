"""Every refusal as JSON, in one place: `{"error": "..."}`, with `outcome` where the service failed."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route

from gateway.answer import to_response
from shared.contract.envelope import refusal
from shared.contract.errors import (
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    OutcomeUnknown,
    Refused,
)
from shared.contract.parsing import NOT_JSON, describe

_OF_STARLETTE = {404: NotFound(), 405: MethodNotAllowed()}


def install_error_handlers(app: FastAPI) -> None:
    """Answer every refusal, of ours, of FastAPI and of Starlette, in the one shape."""

    @app.exception_handler(Refused)
    async def refused(_request: Request, error: Refused) -> Response:
        return to_response(refusal(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        return to_response(refusal(InvalidRequest(describe(error.errors()[0]))))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        response = to_response(refusal(_OF_STARLETTE.get(error.status_code, InvalidRequest(NOT_JSON))))
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = _methods(request, headers.get("Allow"))
        response.headers.update(headers)
        return response

    @app.exception_handler(Exception)
    async def failed(_request: Request, _error: Exception) -> Response:
        return to_response(refusal(OutcomeUnknown()))  # and Starlette raises it again, for the log


def _methods(request: Request, said: str | None) -> str:
    """What the path of a request has. Starlette has `said` it of the first route, and of files not at all."""
    routes = (route for route in request.app.routes if isinstance(route, Route))
    near = (route for route in routes if route.matches(request.scope)[0] is Match.PARTIAL)
    methods = {method for route in near for method in route.methods or ()}
    return ", ".join(sorted(methods)) or said or "GET, HEAD"
