"""A gateway that is asked over HTTP: what it answers, and what its refusals mean to a script."""

from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any, Generic, NamedTuple, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from ..contract.replies import AppointmentsFound, SlotsFound

# A gateway answers within a minute, whatever its settings; who does not even accept is not there.
SECONDS = httpx.Timeout(70, connect=5)

Query = Mapping[str, str | list[str]]
BodyT = TypeVar("BodyT", bound=BaseModel)
PageT = TypeVar("PageT", AppointmentsFound, SlotsFound)


class ExitCode(IntEnum):
    """What a script is told where it is not done (0)."""

    REFUSED = 1
    WRONG = 2
    NOT_EXECUTED = 3
    UNKNOWN = 4


class Failed(Exception):
    """What was asked for is not done; `body` is what was answered, or the like of it."""

    def __init__(self, code: ExitCode, text: str, body: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.body = body or {"error": text}


class Answer(NamedTuple, Generic[BodyT]):
    """A body, read and as it came."""

    body: BodyT
    json: dict[str, Any]


class Gateway:
    """The gateway at a URL, such as `http://127.0.0.1:3000`."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._http = httpx.Client(timeout=SECONDS)

    def ask(self, method: str, path: str, model: type[BodyT], **request: Any) -> Answer[BodyT]:
        """The answer to a request of the API, whose options are those of httpx.

        Raises:
            Failed: it was refused, or it is not known what became of it.
        """
        response = self._send(method, path, request)
        try:
            content = response.json()
            if response.status_code >= 400:
                raise Failed(_code(response.status_code), str(content["error"]), content)
            return Answer(model.model_validate(content), content)
        except (ValueError, KeyError, TypeError, ValidationError):
            stranger = (
                f"What answers at {self._url} is no gateway of slotkeeper (status {response.status_code})"
            )
            raise Failed(ExitCode.UNKNOWN, stranger) from None

    def pages(self, path: str, model: type[PageT], query: Query) -> Iterator[Answer[PageT]]:
        """The pages of a list, one after the other.

        Raises:
            Failed: as `ask`.
        """
        cursor: dict[str, str] = {}
        while True:
            answer = self.ask("GET", path, model, params={**query, **cursor})
            yield answer
            if answer.body.next is None:
                return
            cursor = {"cursor": answer.body.next}

    def _send(self, method: str, path: str, request: Mapping[str, Any]) -> httpx.Response:
        try:
            return self._http.request(method, f"{self._url}/api/{path}", **request)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise Failed(ExitCode.WRONG, f"{self._url} is not a URL of HTTP") from None
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise Failed(ExitCode.NOT_EXECUTED, f"No gateway answers at {self._url}") from None
        except httpx.HTTPError:
            lost = f"The gateway at {self._url} was lost before it answered"
            raise Failed(ExitCode.UNKNOWN, lost) from None


def _code(status: int) -> ExitCode:
    if status in {404, 409, 422}:
        return ExitCode.REFUSED
    if status < 500:
        return ExitCode.WRONG
    return ExitCode.NOT_EXECUTED if status == 503 else ExitCode.UNKNOWN
