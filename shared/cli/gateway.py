"""Call a gateway over HTTP, and map its refusals to exit codes."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, Generic, NamedTuple, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from ..contract.errors import MethodNotAllowed, NotExecuted, NotFound, OutcomeUnknown, Refused
from ..contract.headers import ERROR_TYPE
from ..contract.replies import AppointmentsFound, SlotsFound, TakenSlot
from ..process.tls import certificate_problem

# A gateway answers within a minute with any settings. If the connection is not accepted within 5 s, it is
# down.
SECONDS = httpx.Timeout(70, connect=5)
# A live stream sends something each 15 s.
STREAM_SECONDS = httpx.Timeout(35, connect=5)
RETRY_SECONDS = 2.0

Query = Mapping[str, str | list[str]]
BodyT = TypeVar("BodyT", bound=BaseModel)
PageT = TypeVar("PageT", AppointmentsFound, SlotsFound)


USAGE = "UsageError"
# A gateway sends these only for a path that is no operation, which no command requests.
_NO_ROUTE = {NotFound.__name__, MethodNotAllowed.__name__}
_NO_ROUTE_STATUSES = {301, 302, 303, 307, 308, 404, 405}


class ExitCode(IntEnum):
    """The exit code of a command that was not done; 0 means done."""

    REFUSED = 1
    WRONG = 2
    NOT_EXECUTED = 3
    UNKNOWN = 4


_TYPES = {
    ExitCode.REFUSED: Refused.__name__,
    ExitCode.WRONG: USAGE,
    ExitCode.NOT_EXECUTED: NotExecuted.__name__,
    ExitCode.UNKNOWN: OutcomeUnknown.__name__,
}


class Failed(Exception):
    """A command was not done.

    `body` is the answer with the `type` of the refusal, or an equivalent if no gateway answered.
    """

    def __init__(self, code: ExitCode, text: str, body: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.body = {"error": text, "type": _TYPES[code]} | dict(body or {})


class Event(NamedTuple):
    """A server-sent event; a comment has neither a name nor data. `retry`: when to come back, in seconds."""

    name: str
    data: str
    retry: float | None


class Answer(NamedTuple, Generic[BodyT]):
    """A response body, validated and as it was received."""

    body: BodyT
    json: dict[str, Any]


def taken_of(page: Answer[SlotsFound]) -> Iterator[tuple[TakenSlot, dict[str, Any]]]:
    """Yield the taken slots of a page, each with its JSON, to which the resource of the page is added."""
    for taken, as_sent in zip(page.body.taken, page.json["taken"], strict=True):
        yield taken, {"resource": page.json.get("resource"), **as_sent}


class Gateway:
    """The gateway at a URL, such as `http://127.0.0.1:3000`, with an API key if it needs one."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._shown = re.sub("//.*@", "//", self._url)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(timeout=SECONDS, headers=headers)

    def request(self, method: str, path: str, model: type[BodyT], **options: Any) -> Answer[BodyT]:
        """Send a request to the API.

        `options` are those of httpx, and `body` is sent as JSON.

        Raises:
            Failed: the request was refused, or its outcome is unknown.
        """
        with self._errors():
            response = self._http.send(self._request(method, path, options))
        return self._read(method, response, model)

    def stream(self, path: str, query: Query) -> Iterator[Event]:
        """The events of a live stream, until it ends.

        Raises:
            Failed: as `request`; or the stream was lost.
        """
        with self._errors():
            request = self._request("GET", path, {"params": query, "timeout": STREAM_SECONDS})
            response = self._http.send(request, stream=True)
            try:
                if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                    response.read()
                    self._read("GET", response, SlotsFound)
                    raise self._not_the_root(response.status_code)
                yield from _events(response.iter_lines())
            finally:
                response.close()

    def _read(self, method: str, response: httpx.Response, model: type[BodyT]) -> Answer[BodyT]:
        status, name = response.status_code, response.headers.get(ERROR_TYPE)
        if name in _NO_ROUTE:
            raise self._not_the_root(status)
        try:
            content = response.json()
            if status >= 400:
                raise _refusal(status, name, content)
            return Answer(model.model_validate(content), content)
        except (ValueError, KeyError, TypeError, ValidationError):
            if status in _NO_ROUTE_STATUSES or (method == "GET" and status < 500):
                raise self._not_the_root(status) from None
            stranger = f"What answers at {self._shown} is no gateway of slotkeeper (status {status})"
            raise Failed(ExitCode.UNKNOWN, stranger) from None

    def pages(self, path: str, model: type[PageT], query: Query) -> Iterator[Answer[PageT]]:
        """Yield the pages of a list in order.

        Raises:
            Failed: as `request`.
        """
        cursor: dict[str, str] = {}
        while True:
            answer = self.request("GET", path, model, params={**query, **cursor})
            yield answer
            if answer.body.next is None:
                return
            cursor = {"cursor": answer.body.next}

    def _request(self, method: str, path: str, options: dict[str, Any]) -> httpx.Request:
        if {"?", "#"} & set(self._url):
            raise self._not_the_root()
        if (body := options.pop("body", None)) is not None:
            options["content"] = json.dumps(body)
            options["headers"] = {"Content-Type": "application/json", **options.get("headers", {})}
        return self._http.build_request(method, f"{self._url}/api/{path}", **options)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Tell what a lost request means to a script."""
        try:
            yield
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeError):
            raise Failed(ExitCode.WRONG, f"{self._shown} is not a URL of HTTP") from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if problem := certificate_problem(error):
                raise Failed(ExitCode.NOT_EXECUTED, f"{self._shown}: {problem}") from None
            raise Failed(ExitCode.NOT_EXECUTED, f"No gateway answers at {self._shown}") from None
        except httpx.HTTPError:
            lost = f"The gateway at {self._shown} was lost before it answered"
            raise Failed(ExitCode.UNKNOWN, lost) from None

    def _not_the_root(self, status: int | None = None) -> Failed:
        answer = f" (status {status})" if status else ""
        text = f"{self._shown} is not the root of a gateway, as http://127.0.0.1:3000 is{answer}"
        return Failed(ExitCode.WRONG, text)


def _events(lines: Iterator[str]) -> Iterator[Event]:
    """https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream"""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            field, _, value = line.partition(":")
            fields[field] = value.removeprefix(" ")
            continue
        retry = int(fields["retry"]) / 1000 if fields.get("retry", "").isdecimal() else None
        yield Event(fields.get("event", ""), fields.get("data", ""), retry)
        fields = {}


def _refusal(status: int, name: str | None, content: Any) -> Failed:
    text = str(content["error"])
    kind = name or type(Refused.from_wire(status, text, None)).__name__
    return Failed(_code(status), text, {**content, "type": kind})


def _code(status: int) -> ExitCode:
    if status in {404, 409, 412, 422}:
        return ExitCode.REFUSED
    if status == 429:
        return ExitCode.NOT_EXECUTED
    if status < 500:
        return ExitCode.WRONG
    return ExitCode.NOT_EXECUTED if status == 503 else ExitCode.UNKNOWN
