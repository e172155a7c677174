"""The envelope that carries any answer over NATS, alone or among many: `{"status","body"}` and headers."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Generic, NamedTuple, Self, TypeVar

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from .errors import ErrorBody, OutcomeUnknown, Refused
from .headers import ERROR_TYPE, ETAG, REPLAYED
from .replies import Appointment

BodyT = TypeVar("BodyT", bound=BaseModel)
_PASSED_ON = (ETAG, REPLAYED)
Envelope = tuple[Any, Mapping[str, str]]
"""A decoded answer, `{"status","body"}`, and its headers."""


_FOUND = b'{"status":200,"body":'


class _Received(NamedTuple, Generic[BodyT]):
    content: Any
    model: type[BodyT]


class _Json(NamedTuple, Generic[BodyT]):
    text: str
    model: type[BodyT]


class Reply(Generic[BodyT]):
    """An answer: its HTTP status, its body, and what HTTP says in headers."""

    def __init__(self, body: BodyT, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._body: BodyT | _Received[BodyT] | _Json[BodyT] = body
        self.status = status
        self.headers = headers or {}

    @classmethod
    def received(cls, content: Any, model: type[BodyT], status: int, headers: dict[str, str]) -> Self:
        """One whose body is decoded JSON, which is read as a `model` only if somebody asks for it."""
        reply = cls.__new__(cls)
        reply._body, reply.status, reply.headers = _Received(content, model), status, headers
        return reply

    @classmethod
    def of_json(
        cls, text: str, model: type[BodyT], status: int = 200, headers: dict[str, str] | None = None
    ) -> Self:
        """One whose body is JSON already, which is read as a `model` only if somebody asks for it."""
        reply = cls.__new__(cls)
        reply._body, reply.status, reply.headers = _Json(text, model), status, headers or {}
        return reply

    @property
    def body(self) -> BodyT:
        """What was answered.

        Raises:
            OutcomeUnknown: it is not what a worker answers.
        """
        body = self._body
        if isinstance(body, _Received | _Json):
            try:
                content = from_json(body.text) if isinstance(body, _Json) else body.content
                body = self._body = body.model.model_validate(content)
            except ValueError:  # a ValidationError is one
                raise OutcomeUnknown from None
        return body

    @property
    def json(self) -> str:
        """The body as JSON, passed on as it is where it has come so."""
        if isinstance(self._body, _Json):
            return self._body.text
        if isinstance(self._body, _Received):
            return to_json(self._body.content).decode()
        return self._body.model_dump_json(exclude_none=True, warnings="error")  # a warning quotes values

    def written(self) -> "Reply[BodyT]":
        """The same, with its body written as JSON once and for all.

        Raises:
            ValueError: the body cannot be written.
        """
        if isinstance(self._body, _Json):
            return self
        return Reply.of_json(self.json, type(self.body), self.status, self.headers)

    def to_wire(self) -> tuple[bytes, dict[str, str]]:
        """The NATS payload and headers of this answer."""
        headers = dict(self.headers)
        if self.status >= 400:
            headers["Nats-Service-Error"] = getattr(self.body, "error", "Not ready")
            headers["Nats-Service-Error-Code"] = str(self.status)
        return f'{{"status":{self.status},"body":{self.json}}}'.encode(), headers


def many_to_wire(replies: Iterable[Reply[Any]]) -> bytes:
    """The NATS payload that answers a message of many commands, each by its own reply."""
    each = (
        f'{{"status":{reply.status},"body":{reply.json},"headers":{_headers_json(*reply.headers.items())}}}'
        for reply in replies
    )
    return f'{{"replies":[{",".join(each)}]}}'.encode()


@lru_cache(maxsize=256)
def _headers_json(*headers: tuple[str, str]) -> str:
    return json.dumps(dict(headers))


def refusal(error: Refused) -> Reply[ErrorBody]:
    """The answer that tells a caller of `error`."""
    return Reply(error.body, error.status, error.headers)


def read_reply(data: bytes, headers: Mapping[str, str], body: type[BodyT]) -> Reply[BodyT]:
    """The answer that a NATS message carries.

    Raises:
        Refused: as the worker says; `OutcomeUnknown` where it is no answer of a worker.
    """
    return open_envelope(*read_envelope(data, headers), body)


def read_envelope(data: bytes, headers: Mapping[str, str]) -> Envelope:
    """The answer that a NATS message carries, for `open_envelope`.

    Raises:
        OutcomeUnknown: it is no JSON.
    """
    try:
        return from_json(data), headers
    except ValueError:
        raise OutcomeUnknown from None


def read_page(data: bytes, headers: Mapping[str, str], body: type[BodyT]) -> Reply[BodyT]:
    """As `read_reply`. A page that was found is passed on as it is, for it may be large.

    Raises:
        Refused: as the worker says; `OutcomeUnknown` where it is no answer of a worker.
    """
    if data.startswith(_FOUND + b"{") and data.endswith(b"}}"):
        return Reply.of_json(data[len(_FOUND) : -1].decode(), body)
    return read_reply(data, headers, body)


def read_replies(data: bytes, headers: Mapping[str, str], count: int) -> list[Envelope]:
    """The answers, in their order, to `count` commands that went in one message, for `open_envelope`.

    A refusal of the whole message is one of each of its commands.

    Raises:
        OutcomeUnknown: it is no answer of a worker, or not one to each command.
    """
    try:
        answer = from_json(data)
        if answer.get("status", 0) >= 400:
            return [(answer, headers)] * count
        replies = [(reply, reply.get("headers") or {}) for reply in answer["replies"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OutcomeUnknown from None
    if len(replies) != count:
        raise OutcomeUnknown
    return replies


def open_envelope(envelope: Any, headers: Mapping[str, str], body: type[BodyT]) -> Reply[BodyT]:
    """The answer in a decoded envelope.

    Raises:
        Refused: as the worker says; `OutcomeUnknown` where it is no answer of a worker.
    """
    try:
        status, content = int(envelope["status"]), envelope["body"]
        if not isinstance(content, dict):
            raise OutcomeUnknown
        if status >= 400 and "error" in content:
            found = content.get("appointment")
            appointment = None if found is None else Appointment.model_validate(found)
            raise Refused.from_wire(status, content["error"], headers.get(ERROR_TYPE), appointment)
        said = {name: headers[name] for name in _PASSED_ON if name in headers}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OutcomeUnknown from None
    return Reply.received(content, body, status, said)
