"""The calls of the API. Each makes the command of an operation from a request, and sends it.

FastAPI routes and documents them all, but does not see most requests. Nearly all requests book or hold, and
the middleware (`gateway/http/middleware.py`) answers these by itself: FastAPI's and Starlette's layers, the
search for a route, and their objects for request and response would cost more than all the rest of a booking.
So a call reads headers as the bytes that came, and validates the command once, for the caller's sake: a
worker trusts nobody and validates it again. The client sends it with others (`shared/client/batches.py`). The
reply is JSON already: it is passed on, and nobody reads it as a model.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.datastructures import State

from gateway.api.preconditions import PRECONDITIONS, header_fields, read_preconditions, refuse_others
from gateway.api.query import path_fields, read_query
from gateway.docs.calls import describe
from gateway.http.answer import to_response
from gateway.http.body import Headers, read_object
from shared.client.command_client import CommandClient
from shared.contract.commands import Command
from shared.contract.envelope import Reply
from shared.contract.errors import InvalidRequest
from shared.contract.operation import Call, Operation
from shared.contract.operations import BOOK, OPERATIONS, PLACE
from shared.contract.parsing import validate

HOT = (BOOK, PLACE)
"""The operations that the middleware calls by itself."""
NO_QUERY = "Query parameters are not accepted here; what you ask for belongs into the body"
_NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})


class ApiCall:
    """How an operation is called over HTTP; `path` is what the log calls its route.

    `state` has the client once the gateway has started.
    """

    def __init__(self, operation: Operation[Any, Any], call: Call, state: State) -> None:
        self.operation, self.http, self.path = operation, call, call.path
        self._body, self._state = call.body, state
        self._of_headers = header_fields(operation, call)
        in_path = path_fields(operation, call) if call.body else set()
        self._said_elsewhere = frozenset({*self._of_headers.values(), *in_path})

    async def answer(
        self, headers: Headers, body: bytes, query: bytes = b"", path: Mapping[str, str] = _NO_PARAMETERS
    ) -> Reply[Any]:
        """Have a worker carry out what a request asks for; `path` are the parameters in its path.

        Raises:
            Refused
        """
        client: CommandClient = self._state.client
        return await client.send(self.operation, self._read(headers, body, query, path))

    def _read(self, headers: Headers, body: bytes, query: bytes, path: Mapping[str, str]) -> Command:
        preconditions = [header for header in headers if header[0] in PRECONDITIONS]
        if query and self._body is not None:
            raise InvalidRequest(NO_QUERY)
        if preconditions:
            refuse_others(preconditions, self._of_headers)
        if self._body is not None:
            said = read_object(headers, body)
        else:
            said = read_query(self.operation.command, path, query, body)
        if self._said_elsewhere and isinstance(said, dict):
            if not self._said_elsewhere.isdisjoint(said):
                self._refuse_said_elsewhere(said)
            if path:
                said |= path
        command: Command = validate(self.operation.command, said)
        if preconditions:
            return command.model_copy(update=read_preconditions(preconditions, self._of_headers))
        return command

    def _refuse_said_elsewhere(self, said: dict[str, Any]) -> None:
        """Refuse a field that stands in a header or the path; a null in a body is as if it was not sent."""
        if self._body is None:
            raise InvalidRequest(f"Unknown field {min(self._said_elsewhere & said.keys())}")
        validate(self._body, said)


def calls_of(operations: Iterable[Operation[Any, Any]], state: State) -> list[ApiCall]:
    """The calls of the `operations` that can be called over HTTP."""
    return [ApiCall(operation, operation.http, state) for operation in operations if operation.http]


def hot_calls(state: State) -> dict[tuple[str, str], ApiCall]:
    """Those of `HOT`, by method and path, exactly."""
    return {(call.http.method, call.path): call for call in calls_of(HOT, state)}


def register(app: FastAPI, operations: Iterable[Operation[Any, Any]] = OPERATIONS) -> None:
    """Declare the calls. They are routes of `app` itself: a router that is included is searched twice."""
    for call in calls_of(operations, app.state):
        described = describe(call.operation, call.http)
        app.add_api_route(call.path, _endpoint(call), methods=[call.http.method], **described)


def _endpoint(call: ApiCall) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        scope, body = request.scope, await request.body()
        return to_response(
            await call.answer(scope["headers"], body, scope["query_string"], request.path_params)
        )

    return endpoint
