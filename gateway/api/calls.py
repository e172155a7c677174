"""The calls of the API. Each makes the command of an operation from a request, and sends it.

FastAPI routes and documents them all, but does not see most requests. Nearly all requests change a booking
or hold, and the middleware (`gateway/http/middleware.py`) answers these by itself: FastAPI's and Starlette's
layers, the search for a route, and their objects for request and response would cost more than all the rest.
So a call reads headers as the bytes that came, and validates the command once, for the caller's sake: a
worker trusts nobody and validates it again. The body that was found valid is passed on as it came, and the
client sends it with others (`shared/client/batches.py`). The reply is JSON already: it is passed on too, and
nobody reads it as a model.
"""

import json
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
from shared.client.caller import Caller
from shared.client.command_client import CommandClient
from shared.contract.commands import Command
from shared.contract.envelope import Reply
from shared.contract.errors import InvalidRequest
from shared.contract.operation import Call, Operation
from shared.contract.operations import BOOK, CANCEL, MOVE, OPERATIONS, PLACE
from shared.contract.parsing import validate

HOT = (BOOK, PLACE, MOVE, CANCEL)
"""The operations that the middleware calls by itself."""
# In bytes. A valid body can be much larger than its command, by its white space: then the command is written
# anew. With the fields of the path and the headers it stays far below what a worker accepts.
LARGEST_PASSED_ON = 1024
NO_QUERY = "Query parameters are not accepted here; what you ask for belongs into the body"
CALLER = "slotkeeper.caller"
"""Where a request's scope has its `Caller`."""
_ID = "/{id}"
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
        self,
        caller: Caller | None,
        headers: Headers,
        body: bytes,
        query: bytes = b"",
        path: Mapping[str, str] = _NO_PARAMETERS,
    ) -> Reply[Any]:
        """Have a worker carry out what a request asks for; `path` are the parameters in its path.

        Raises:
            Refused
        """
        client: CommandClient = self._state.client
        return await client.send(self.operation, *self.read(headers, body, query, path), caller)

    def read(
        self, headers: Headers, body: bytes, query: bytes, path: Mapping[str, str]
    ) -> tuple[Command, bytes | None]:
        """The command, and its JSON if the body is passed on as it is.

        Raises:
            InvalidRequest, UnsupportedMediaType
        """
        preconditions = [header for header in headers if header[0] in PRECONDITIONS]
        if query and self._body is not None:
            raise InvalidRequest(NO_QUERY)
        if preconditions:
            refuse_others(preconditions, self._of_headers)
        if self._body is not None:
            said = read_object(headers, body)
        else:
            said = read_query(self.operation.command, path, query, body)
        passed_on = self._body is not None and _is_passed_on(said, body)
        if self._said_elsewhere and isinstance(said, dict):
            if not self._said_elsewhere.isdisjoint(said):
                self._refuse_said_elsewhere(said)
            if path:
                said |= path
        command: Command = validate(self.operation.command, said)
        fields = dict(path)
        if preconditions:
            read = read_preconditions(preconditions, self._of_headers)
            command = command.model_copy(update=read)
            fields |= {name: value for name, value in read.items() if value is not None}
        return command, _with_fields(body, fields) if passed_on else None

    def _refuse_said_elsewhere(self, said: dict[str, Any]) -> None:
        """Refuse a field that stands in a header or the path; a null in a body is as if it was not sent."""
        if self._body is None:
            raise InvalidRequest(f"Unknown field {min(self._said_elsewhere & said.keys())}")
        validate(self._body, said)


def _is_passed_on(said: Any, body: bytes) -> bool:
    """Whether a body is sent to a worker as it came, if what it `said` is valid.

    Not if it has a null, which counts as not sent: the same field may be added to the JSON.
    """
    return (
        len(body) <= LARGEST_PASSED_ON and said != {} and isinstance(said, dict) and None not in said.values()
    )


def _with_fields(body: bytes, fields: dict[str, Any]) -> bytes:
    """The JSON of an object that is not empty, with `fields` that it does not have."""
    if not fields:
        return body.strip()
    return b"%b,%b" % (body.strip()[:-1], json.dumps(fields)[1:].encode())


def calls_of(operations: Iterable[Operation[Any, Any]], state: State) -> list[ApiCall]:
    """The calls of the `operations` that can be called over HTTP."""
    return [ApiCall(operation, operation.http, state) for operation in operations if operation.http]


class HotCalls:
    """The calls of `HOT`; without a `state` none at all."""

    def __init__(self, state: State | None = None) -> None:
        calls = calls_of(HOT, state) if state is not None else []
        self._by_path = {(call.http.method, call.path): call for call in calls if _ID not in call.path}
        self._by_head = {
            (call.http.method, call.path.removesuffix(_ID)): call for call in calls if _ID in call.path
        }

    def find(self, method: str, path: str) -> tuple[ApiCall | None, Mapping[str, str]]:
        """The call that a request makes, if its path is exactly that, and the parameters in its path."""
        call = self._by_path.get((method, path))
        if call is None:
            head, _, last = path.rpartition("/")
            if last and (call := self._by_head.get((method, head))):
                return call, {"id": last}
        return call, _NO_PARAMETERS


def register(app: FastAPI, operations: Iterable[Operation[Any, Any]] = OPERATIONS) -> None:
    """Declare the calls. They are routes of `app` itself: a router that is included is searched twice."""
    for call in calls_of(operations, app.state):
        described = describe(call.operation, call.http)
        app.add_api_route(call.path, _endpoint(call), methods=[call.http.method], **described)


def _endpoint(call: ApiCall) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        scope, body = request.scope, await request.body()
        return to_response(
            await call.answer(
                scope.get(CALLER), scope["headers"], body, scope["query_string"], request.path_params
            )
        )

    return endpoint
