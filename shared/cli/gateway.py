"""Call a gateway over HTTP, and map its refusals to exit codes."""

import json
import re
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any, Generic, NamedTuple, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from ..contract.errors import MethodNotAllowed, NotExecuted, NotFound, OutcomeUnknown, Refused
from ..contract.headers import ERROR_TYPE
from ..contract.replies import AppointmentsFound, SlotsFound, TakenSlot

# A gateway answers within a minute with any settings. If the connection is not accepted within 5 s, it is
# down.
SECONDS = httpx.Timeout(70, connect=5)

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


class Answer(NamedTuple, Generic[BodyT]):
    """A response body, validated and as it was received."""

    body: BodyT
    json: dict[str, Any]


def taken_of(page: Answer[SlotsFound]) -> Iterator[tuple[TakenSlot, dict[str, Any]]]:
    """Yield the taken slots of a page, each with its JSON, to which the resource of the page is added."""
    for taken, as_sent in zip(page.body.taken, page.json["taken"], strict=True):
        yield taken, {"resource": page.json.get("resource"), **as_sent}


class Gateway:
    """The gateway at a URL, such as `http://127.0.0.1:3000`."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._shown = re.sub("//.*@", "//", self._url)
        self._http = httpx.Client(timeout=SECONDS)

    def request(self, method: str, path: str, model: type[BodyT], **options: Any) -> Answer[BodyT]:
        """Send a request to the API.

        `options` are those of httpx, and `body` is sent as JSON.

        Raises:
            Failed: the request was refused, or its outcome is unknown.
        """
        response = self._send(method, path, options)
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

    def _send(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        if {"?", "#"} & set(self._url):
            raise self._not_the_root()
        if (body := options.pop("body", None)) is not None:
            options["content"] = json.dumps(body)
            options["headers"] = {"Content-Type": "application/json", **options.get("headers", {})}
        try:
            return self._http.request(method, f"{self._url}/api/{path}", **options)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeError):
            raise Failed(ExitCode.WRONG, f"{self._shown} is not a URL of HTTP") from None
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise Failed(ExitCode.NOT_EXECUTED, f"No gateway answers at {self._shown}") from None
        except httpx.HTTPError:
            lost = f"The gateway at {self._shown} was lost before it answered"
            raise Failed(ExitCode.UNKNOWN, lost) from None

    def _not_the_root(self, status: int | None = None) -> Failed:
        answer = f" (status {status})" if status else ""
        text = f"{self._shown} is not the root of a gateway, as http://127.0.0.1:3000 is{answer}"
        return Failed(ExitCode.WRONG, text)


def _refusal(status: int, name: str | None, content: Any) -> Failed:
    text = str(content["error"])
    kind = name or type(Refused.from_wire(status, text, None)).__name__
    return Failed(_code(status), text, {**content, "type": kind})


def _code(status: int) -> ExitCode:
    if status in {404, 409, 412, 422}:
        return ExitCode.REFUSED
    if status < 500:
        return ExitCode.WRONG
    return ExitCode.NOT_EXECUTED if status == 503 else ExitCode.UNKNOWN
