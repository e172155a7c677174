"""The envelope of replies on NATS, single or in a batch: `{"status","body"}` and headers."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Generic, NamedTuple, Self, TypeVar

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from .errors import ErrorBody, OutcomeUnknown, Refused
from .headers import ERASED, ERROR_TYPE, ETAG, REPLAYED
from .replies import Appointment

BodyT = TypeVar("BodyT", bound=BaseModel)
_PASSED_ON = (ERASED, ETAG, REPLAYED)
Envelope = tuple[Any, Mapping[str, str]]
"""A decoded reply, `{"status","body"}`, and its headers."""


# A quotation mark inside a JSON string is escaped, so this matches fields only. Another field precedes it.
_PERSONAL = re.compile(r',"(?:patientName|contact)":"(?:[^"\\]|\\.)*"')
_FOUND = b'{"status":200,"body":'


class _Received(NamedTuple, Generic[BodyT]):
    content: Any
    model: type[BodyT]


class _Json(NamedTuple, Generic[BodyT]):
    text: str
    model: type[BodyT]


class Reply(Generic[BodyT]):
    """A reply: HTTP status, body and headers."""

    def __init__(self, body: BodyT, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._body: BodyT | _Received[BodyT] | _Json[BodyT] = body
        self.status = status
        self.headers = headers or {}

    @classmethod
    def received(cls, content: Any, model: type[BodyT], status: int, headers: dict[str, str]) -> Self:
        """Make a reply from decoded JSON, which is validated as `model` on first use of `body`."""
        reply = cls.__new__(cls)
        reply._body, reply.status, reply.headers = _Received(content, model), status, headers
        return reply

    @classmethod
    def of_json(
        cls, text: str, model: type[BodyT], status: int = 200, headers: dict[str, str] | None = None
    ) -> Self:
        """Make a reply from JSON text, which is validated as `model` on first use of `body`."""
        reply = cls.__new__(cls)
        reply._body, reply.status, reply.headers = _Json(text, model), status, headers or {}
        return reply

    @property
    def body(self) -> BodyT:
        """The validated body.

        Raises:
            OutcomeUnknown: the body is not that of a worker's reply.
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
    def content(self) -> Any:
        """The decoded body of a reply that was received, before validation."""
        return self._body.content if isinstance(self._body, _Received) else self.body.model_dump()

    @property
    def json(self) -> str:
        """The body as JSON. JSON that was received is passed on unchanged."""
        if isinstance(self._body, _Json):
            return self._body.text
        if isinstance(self._body, _Received):
            return to_json(self._body.content).decode()
        return self._body.model_dump_json(
            exclude_none=True, warnings="error"
        )  # pydantic's warnings quote values

    def written(self) -> "Reply[BodyT]":
        """Return the same reply with its body encoded as JSON, so that it is encoded once.

        Raises:
            ValueError: the body cannot be encoded.
        """
        if isinstance(self._body, _Json):
            return self
        return Reply.of_json(self.json, type(self.body), self.status, self.headers)

    def without_names(self) -> "Reply[BodyT]":
        """Return the same reply without the names and contacts of patients."""
        model = self._body.model if isinstance(self._body, _Json | _Received) else type(self._body)
        return Reply.of_json(_PERSONAL.sub("", self.json), model, self.status, self.headers)

    def to_wire(self) -> tuple[bytes, dict[str, str]]:
        """Return the NATS payload and headers of this reply."""
        headers = dict(self.headers)
        if self.status >= 400:
            headers["Nats-Service-Error"] = getattr(self.body, "error", "Not ready")
            headers["Nats-Service-Error-Code"] = str(self.status)
        return f'{{"status":{self.status},"body":{self.json}}}'.encode(), headers


def many_to_wire(replies: Iterable[Reply[Any]]) -> bytes:
    """Return the NATS payload that answers a batch: one reply per command, in order."""
    items = (
        f'{{"status":{reply.status},"body":{reply.json},"headers":{_headers_json(*reply.headers.items())}}}'
        for reply in replies
    )
    return f'{{"replies":[{",".join(items)}]}}'.encode()


@lru_cache(maxsize=256)
def _headers_json(*headers: tuple[str, str]) -> str:
    return json.dumps(dict(headers))


def refusal(error: Refused) -> Reply[ErrorBody]:
    """Return the encoded reply of a refusal; equal refusals share one, which must not be changed."""
    if error.appointment or error.varies:
        return Reply(error.body, error.status, error.headers).written()
    kind: Callable[[str], Refused] = type(error)
    return _refusal_of(kind, error.text)


@lru_cache(maxsize=256)
def _refusal_of(kind: Callable[[str], Refused], text: str) -> Reply[ErrorBody]:
    error = kind(text)
    return Reply(error.body, error.status, error.headers).written()


def read_reply(data: bytes, headers: Mapping[str, str], body: type[BodyT]) -> Reply[BodyT]:
    """Read the reply in a NATS message.

    Raises:
        Refused: the refusal in the reply; OutcomeUnknown if the message is not a worker's reply.
    """
    return open_envelope(*read_envelope(data, headers), body)


def read_envelope(data: bytes, headers: Mapping[str, str]) -> Envelope:
    """Decode a NATS message for `open_envelope`.

    Raises:
        OutcomeUnknown: the message is not JSON.
    """
    try:
        return from_json(data), headers
    except ValueError:
        raise OutcomeUnknown from None


def read_page(data: bytes, headers: Mapping[str, str], body: type[BodyT]) -> Reply[BodyT]:
    """Read a reply as `read_reply` does, but pass the JSON of a page on unparsed: it may be large.

    Raises:
        Refused: as `read_reply`.
    """
    if data.startswith(_FOUND + b"{") and data.endswith(b"}}"):
        return Reply.of_json(data[len(_FOUND) : -1].decode(), body)
    return read_reply(data, headers, body)


def read_replies(data: bytes, headers: Mapping[str, str], count: int) -> list[Envelope]:
    """Decode the replies to a batch of `count` commands, in order, for `open_envelope`.

    A refusal of the whole message counts as the refusal of every command.

    Raises:
        OutcomeUnknown: the message is not a worker's reply to `count` commands.
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
    """Read the reply in a decoded envelope.

    Raises:
        Refused: the refusal in the reply; OutcomeUnknown if the envelope is not a worker's reply.
    """
    try:
        status, content = int(envelope["status"]), envelope["body"]
        if not isinstance(content, dict):
            raise OutcomeUnknown
        if status >= 400 and "error" in content:
            found = content.get("appointment")
            appointment = None if found is None else Appointment.model_validate(found)
            raise Refused.from_wire(status, content["error"], headers.get(ERROR_TYPE), appointment)
        passed_on = {name: headers[name] for name in _PASSED_ON if name in headers}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OutcomeUnknown from None
    return Reply.received(content, body, status, passed_on)
