"""Every refusal as JSON, in one place: `{"error": "..."}`, with `outcome` where the service failed."""

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shared.contract.commands import NOT_JSON, describe
from shared.contract.errors import ErrorBody, InvalidRequest, Refused
from shared.contract.replies import Reply, refusal

NOT_JSON_TYPE = "Content-Type must be application/json"
_SENTENCES = {400: NOT_JSON, 404: "Not found", 405: "Method not allowed", 415: NOT_JSON_TYPE}


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
        sentence = _SENTENCES.get(error.status_code, "Request refused")
        return _respond(Reply(ErrorBody(error=sentence), error.status_code), error.headers)


def to_response(error: Refused) -> Response:
    """The HTTP answer that tells a caller of `error`."""
    return _respond(refusal(error))


def _respond(reply: Reply[ErrorBody], headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        reply.json, reply.status, {**reply.headers, **(headers or {})}, media_type="application/json"
    )
