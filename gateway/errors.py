"""Every refusal as JSON, in one place: `{"error": "..."}`, with `outcome` where the service failed."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shared.contract.commands import NOT_JSON, describe
from shared.contract.errors import (
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    OutcomeUnknown,
    Refused,
)
from shared.contract.replies import refusal

_OF_STARLETTE = {404: NotFound(), 405: MethodNotAllowed()}


def install_error_handlers(app: FastAPI) -> None:
    """Answer every refusal, of ours, of FastAPI and of Starlette, in the one shape."""

    @app.exception_handler(Refused)
    async def refused(_request: Request, error: Refused) -> Response:
        return to_response(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        return to_response(InvalidRequest(describe(error.errors()[0])))

    @app.exception_handler(HTTPException)
    async def http(_request: Request, error: HTTPException) -> Response:
        response = to_response(_OF_STARLETTE.get(error.status_code, InvalidRequest(NOT_JSON)))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def failed(_request: Request, _error: Exception) -> Response:
        return to_response(OutcomeUnknown())  # and Starlette raises it again, for the log


def to_response(error: Refused) -> Response:
    """The HTTP answer that tells a caller of `error`."""
    reply = refusal(error)
    return Response(reply.json, reply.status, reply.headers, media_type="application/json")
