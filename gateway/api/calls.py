"""Build the command of an operation from an HTTP request, and send it.

FastAPI routes and documents all calls, but handles few requests. The middleware makes the calls of `HOT`
directly (`gateway/http/middleware.py`): FastAPI's and Starlette's layers, their route search, and their
request and response objects would cost more than the rest of a booking. Therefore a call reads headers as
bytes. It validates the command, so that the caller gets a refusal at once; a worker validates it again,
because it trusts no sender. A call passes a valid body on as bytes, which the client sends in a batch
(`shared/client/transport.py`). It passes the worker's JSON on without parsing it into a model.
"""

import json
from collections.abc import Iterable, Mapping, Set
from types import MappingProxyType
from typing import Any

from starlette.datastructures import State

from gateway.api.preconditions import PRECONDITIONS, header_fields, read_preconditions, refuse_others
from gateway.api.query import read_query
from gateway.http.body import Headers, read_object
from gateway.http.connection import ClientConnection
from shared.client.command_client import CommandClient
from shared.contract.commands import Command
from shared.contract.envelope import Reply
from shared.contract.errors import InvalidRequest, OutcomeUnknown
from shared.contract.headers import APPOINTMENT_TOKEN, ERASED
from shared.contract.operation import Call, Operation
from shared.contract.operations import AMEND, BOOK, CANCEL, MOVE, PLACE
from shared.contract.parsing import validate

HOT = (BOOK, PLACE, MOVE, AMEND, CANCEL)
"""The operations whose calls the middleware makes without FastAPI: nearly all requests are such calls.

AMEND is among them because it shares the path and the method of MOVE.
"""
# In bytes. White space can make a valid body much larger than its command: the client then serializes the
# command. With the fields of the path and the headers, this size stays far below a worker's limit.
LARGEST_PASSED_ON = 1024
NO_QUERY = "Query parameters are not accepted here; what you ask for belongs into the body"
_ID = "/{id}"
_NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})


class CallHandler:
    """Handles the HTTP requests of one operation.

    `path` is the template of the call's path, which the log names as the route. `others`: the handlers of
    further operations with the same method and path; the fields of a body choose the operation.

    Args:
        operation: the operation.
        call: its `http`.
        state: the state of the application; has the `client` once the gateway has started.
    """

    def __init__(self, operation: Operation[Any, Any], call: Call, state: State) -> None:
        self.operation, self.http, self.path = operation, call, call.path
        self.others: list[CallHandler] = []
        self._body, self._state = call.body, state
        self._header_fields = header_fields(operation, call)
        others = operation.command.model_fields.keys() - call.body.model_fields.keys() if call.body else ()
        self._outside_body = frozenset({*self._header_fields.values(), *others})

    async def handle(
        self,
        connection: ClientConnection,
        headers: Headers,
        body: bytes,
        query: bytes = b"",
        path: Mapping[str, str] = _NO_PARAMETERS,
    ) -> Reply[Any]:
        """Send the command of a request to a worker; `path` has the parameters of the request's path.

        Raises:
            Unauthorized, Forbidden: the caller may not make this call; the request was not read.
            InvalidRequest: the request is wrong; nothing was sent.
            Refused: as `CommandClient.send`.
        """
        content = read_object(headers, body) if self.others else None
        call = self._chosen_by(content) if self.others else self
        connection.identified.require(call.http.scope)
        command, payload = call.read(headers, body, query, path, content)
        for scope in call.http.scopes_of(command):
            connection.identified.require(scope)
        client: CommandClient = self._state.client
        reply = await client.send(call.operation, command, payload, connection)
        # Whoever knows the key of an erased booking gets its replay, and need not be its patient.
        if (
            self.operation is BOOK
            and ERASED not in reply.headers
            and (links := self._state.links) is not None
        ):
            reply.headers[APPOINTMENT_TOKEN] = links.secret_of(_id_in(reply.content))
        return reply

    def _chosen_by(self, content: Any) -> "CallHandler":
        """Return the handler of the operation whose fields a body has.

        Raises:
            InvalidRequest: it has fields of two operations.
        """
        if isinstance(content, dict):
            sent = {name for name, value in content.items() if value is not None}
            for other in self.others:
                if theirs := sent & other.own_fields:
                    if ours := sent & self.own_fields:
                        raise InvalidRequest(
                            f"{min(theirs)} and {min(ours)} cannot change together: send two requests"
                        )
                    return other
        return self

    @property
    def own_fields(self) -> Set[str]:
        """The fields that the body may have."""
        return self._body.model_fields.keys() if self._body else frozenset()

    def read(
        self,
        headers: Headers,
        body: bytes,
        query: bytes,
        path: Mapping[str, str],
        content: Any = None,
    ) -> tuple[Command, bytes | None]:
        """Return the command, and its JSON if the body can be passed on; `content`: the body, if parsed.

        Raises:
            InvalidRequest, UnsupportedMediaType
        """
        preconditions = [header for header in headers if header[0] in PRECONDITIONS]
        if query and self._body is not None:
            raise InvalidRequest(NO_QUERY)
        if preconditions:
            refuse_others(preconditions, self._header_fields)
        if self._body is not None:
            content = read_object(headers, body) if content is None else content
        else:
            content = read_query(self.operation.command, path, query, body)
        passed_on = self._body is not None and _can_pass_on(content, body)
        if self._outside_body and isinstance(content, dict):
            if not self._outside_body.isdisjoint(content):
                self._refuse_outside_body(content)
            if path:
                content |= path
        command: Command = validate(self.operation.command, content)
        fields = dict(path)
        if preconditions:
            read = read_preconditions(preconditions, self._header_fields)
            command = command.model_copy(update=read)
            fields |= {name: value for name, value in read.items() if value is not None}
        return command, _with_fields(body, fields) if passed_on else None

    def _refuse_outside_body(self, content: dict[str, Any]) -> None:
        """Refuse a field that belongs into a header or the path; a body may have it as null."""
        if self._body is None:
            raise InvalidRequest(f"Unknown field {min(self._outside_body & content.keys())}")
        validate(self._body, content)


def _id_in(content: Any) -> str:
    """Return the id of the appointment in the body of a reply.

    Raises:
        OutcomeUnknown: the body is not that of a worker's reply.
    """
    try:
        return str(content["appointment"]["id"])
    except (KeyError, TypeError):
        raise OutcomeUnknown from None


def _can_pass_on(content: Any, body: bytes) -> bool:
    """Return whether a worker gets the bytes of a body, if its `content` proves valid.

    A null counts as an absent field, so `_with_fields` may add the same field: such a body is not passed on.
    """
    return (
        len(body) <= LARGEST_PASSED_ON
        and content != {}
        and isinstance(content, dict)
        and None not in content.values()
    )


def _with_fields(body: bytes, fields: dict[str, Any]) -> bytes:
    """Add `fields` to the JSON of a non-empty object that has none of them."""
    if not fields:
        return body.strip()
    return b"%b,%b" % (body.strip()[:-1], json.dumps(fields)[1:].encode())


def handlers_of(operations: Iterable[Operation[Any, Any]], state: State) -> list[CallHandler]:
    """Return the handlers of the `operations` that have an HTTP call, one for each method and path."""
    handlers: dict[tuple[str, str], CallHandler] = {}
    for operation in operations:
        if operation.http:
            handler = CallHandler(operation, operation.http, state)
            first = handlers.setdefault((operation.http.method, operation.http.path), handler)
            if first is not handler:
                first.others.append(handler)
    return list(handlers.values())


class HotCalls:
    """The calls of `HOT`, by method and path."""

    def __init__(self, state: State) -> None:
        calls = handlers_of(HOT, state)
        self._by_path = {(call.http.method, call.path): call for call in calls if _ID not in call.path}
        self._by_prefix = {
            (call.http.method, call.path.removesuffix(_ID)): call for call in calls if _ID in call.path
        }

    def find(self, method: str, path: str) -> tuple[CallHandler | None, Mapping[str, str]]:
        """Return the hot call whose path equals `path`, or None, and the parameters of the path."""
        call = self._by_path.get((method, path))
        if call is None:
            prefix, _, last = path.rpartition("/")
            if last and (call := self._by_prefix.get((method, prefix))):
                return call, {"id": last}
        return call, _NO_PARAMETERS
