"""A gateway with more requests than it can answer in time."""

import asyncio
import gc
import weakref

import pytest
from starlette.types import Message, Receive, Scope, Send

from gateway.http import body, middleware
from gateway.http.middleware import MOST_IN_FLIGHT, RequestMiddleware

BOOK: Scope = {
    "type": "http",
    "method": "POST",
    "path": "/api/book-appointment",
    "query_string": b"",
    "headers": [(b"host", b"gateway")],
}
CHUNKED: Scope = {**BOOK, "headers": [*BOOK["headers"], (b"transfer-encoding", b"chunked")]}
TOO_LARGE: Scope = {**BOOK, "headers": [*BOOK["headers"], (b"content-length", b"20000")]}


async def test_gateway_bounds_its_requests_in_flight() -> None:
    """A request beyond the bound gets 503, except health checks; an answer frees capacity."""
    may_answer = asyncio.Event()

    async def application(scope: Scope, _receive: Receive, send: Send) -> None:
        await may_answer.wait()
        await send({"type": "http.response.start", "status": 201, "headers": []})

    limited = RequestMiddleware(application)

    async def ask(path: str = "/api/book-appointment") -> int:
        statuses: list[int] = []

        async def send(message: Message) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        await limited({**BOOK, "path": path}, asyncio.Queue[Message]().get, send)
        return statuses[0]

    in_flight = [asyncio.create_task(ask()) for _ in range(MOST_IN_FLIGHT)]
    healthy = asyncio.create_task(ask("/livez"))
    await asyncio.sleep(0)
    assert await ask() == 503
    may_answer.set()
    assert set(await asyncio.gather(*in_flight, healthy, ask())) == {201}


async def test_incomplete_body_is_refused_with_408(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that stops in the middle of a body gets 408, and the request is not executed."""
    monkeypatch.setattr(body, "BODY_SECONDS", 0.01)
    answer = list[Message]()
    arriving = asyncio.Queue[Message]()
    arriving.put_nowait({"type": "http.request", "body": b'{"slot":', "more_body": True})

    async def application(*_: object) -> None:
        raise AssertionError("half a body was passed on")

    async def send(message: Message) -> None:
        answer.append(message)

    await RequestMiddleware(application)(CHUNKED, arriving.get, send)
    assert answer[0]["status"] == 408
    assert (b"connection", b"close") in answer[0]["headers"]
    assert b"not complete in time; nothing was done" in answer[1]["body"]


async def test_each_slow_body_has_its_own_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request whose body does not come is refused `BODY_SECONDS` after its own head, not earlier."""
    monkeypatch.setattr(body, "BODY_SECONDS", 0.2)
    now = asyncio.get_running_loop().time

    async def application(*_: object) -> None:
        raise AssertionError("half a body was passed on")

    gateway = RequestMiddleware(application)

    async def ask(after: float) -> tuple[int, float]:
        await asyncio.sleep(after)
        began, statuses = now(), list[int]()

        async def send(message: Message) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        await gateway({**CHUNKED}, asyncio.Queue[Message]().get, send)
        return statuses[0], now() - began

    answers = await asyncio.gather(*map(ask, (0, 0.1, 0.1, 0.5)))
    assert [status for status, _ in answers] == [408] * 4
    assert all(0.19 <= seconds < 0.4 for _, seconds in answers)


@pytest.mark.parametrize(("scope", "status"), [(TOO_LARGE, 413), (CHUNKED, 408)])
async def test_receiver_of_a_refused_body_is_released_at_once(
    monkeypatch: pytest.MonkeyPatch, scope: Scope, status: int
) -> None:
    """granian keeps the connection open until no reference to its receiver is left."""
    for name in ("BODY_SECONDS", "DISCARD_SECONDS"):
        monkeypatch.setattr(body, name, 0.01)
    statuses = list[int]()
    arriving = asyncio.Queue[Message]()
    left = weakref.ref(arriving)

    async def application(*_: object) -> None:
        raise AssertionError("a refused body was passed on")

    async def send(message: Message) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    gc.disable()  # the collector would release the receiver too, but perhaps much later
    try:
        await RequestMiddleware(application)({**scope}, arriving.get, send)
        await asyncio.sleep(0)  # releases the cancellation that ended the wait
        del arriving
        assert (statuses, left()) == ([status], None)
    finally:
        gc.enable()


async def test_body_of_a_disconnected_caller_is_not_passed_on() -> None:
    """A lost connection does not complete a body, even if the received part is valid JSON."""
    answer = list[Message]()
    arriving = asyncio.Queue[Message]()
    arriving.put_nowait({"type": "http.request", "body": b"{}", "more_body": True})
    arriving.put_nowait({"type": "http.disconnect"})

    async def application(*_: object) -> None:
        raise AssertionError("half a body was passed on")

    async def send(message: Message) -> None:
        answer.append(message)

    await RequestMiddleware(application)(CHUNKED, arriving.get, send)
    assert answer[0]["status"] == 400


async def test_slow_body_takes_no_capacity(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request counts as in flight only after its whole body has arrived."""
    monkeypatch.setattr(middleware, "MOST_IN_FLIGHT", 1)
    passed_on = list[Scope]()

    async def application(scope: Scope, _receive: Receive, send: Send) -> None:
        passed_on.append(scope)
        await send({"type": "http.response.start", "status": 201, "headers": []})

    async def send(_message: Message) -> None:
        pass

    limited, arriving = RequestMiddleware(application), asyncio.Queue[Message]()
    slow = asyncio.create_task(limited(CHUNKED, arriving.get, send))
    await asyncio.sleep(0)
    await limited(BOOK, arriving.get, send)
    assert passed_on == [BOOK]
    arriving.put_nowait({"type": "http.disconnect"})
    await slow
