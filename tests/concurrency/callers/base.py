"""What a caller of any transport can do, and how it reads replies."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from tests.concurrency.operations import Answer, Json

# Built but not yet sent, so that releasing many of them at once takes no time.
Call = Callable[[], Awaitable[Answer]]

CONNECT_SECONDS = 5
REQUEST_ID = "X-Request-Id"


class UnreachableError(Exception):
    """Nothing answers at an address."""


class Caller(Protocol):
    async def warm(self) -> None: ...
    async def close(self) -> None: ...
    def book(self, body: Json, request_id: str) -> Call: ...
    def hold(self, body: Json, request_id: str) -> Call: ...
    def get(self, body: Json, request_id: str) -> Call: ...


def no_answer(seconds: float) -> Answer:
    return Answer(None, problem=f"no answer in {seconds:g} s")


def lost(error: Exception) -> Answer:
    return Answer(None, problem=f"connection lost ({type(error).__name__})")


def not_sent(problem: str) -> Answer:
    return Answer(None, problem=problem, sent=False)


def read_body(status: int, content: bytes) -> Answer:
    body = _parse(content)
    if not isinstance(body, dict):
        return Answer(status, problem="the body is not a JSON object")
    return Answer(status, body)


def read_envelope(content: bytes) -> Answer:
    match _parse(content):
        case {"status": int(status), "body": dict(body), **more} if not more:
            return Answer(status, body)
        case _:
            return Answer(None, problem='the reply is not {"status", "body"}')


def _parse(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
