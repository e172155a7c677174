"""What a gateway does with more requests than it can answer in time."""

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


async def test_the_gateway_has_a_bounded_number_of_requests_in_hand() -> None:
    """What comes on top is refused with 503, but for questions about health; an answer makes room."""
    going_on = asyncio.Event()

    async def application(scope: Scope, _receive: Receive, send: Send) -> None:
        await going_on.wait()
        await send({"type": "http.response.start", "status": 201, "headers": []})

    limited = RequestMiddleware(application)

    async def ask(path: str = "/api/book-appointment") -> int:
        statuses: list[int] = []

        async def send(message: Message) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        await limited({**BOOK, "path": path}, asyncio.Queue[Message]().get, send)
        return statuses[0]

    in_hand = [asyncio.create_task(ask()) for _ in range(MOST_IN_FLIGHT)]
    healthy = asyncio.create_task(ask("/livez"))
    await asyncio.sleep(0)
    assert await ask() == 503
    going_on.set()
    assert set(await asyncio.gather(*in_hand, healthy, ask())) == {201}


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller who stops in the middle of a body is refused with 408, and nothing was done."""
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
async def test_what_receives_a_refused_body_is_let_go_at_once(
    monkeypatch: pytest.MonkeyPatch, scope: Scope, status: int
) -> None:
    """The connection can end, as the refusal says: granian keeps it until nothing refers to its receiver."""
    for name in ("BODY_SECONDS", "THROW_AWAY_SECONDS"):
        monkeypatch.setattr(body, name, 0.01)
    statuses = list[int]()
    arriving = asyncio.Queue[Message]()
    left = weakref.ref(arriving)

    async def application(*_: object) -> None:
        raise AssertionError("a refused body was passed on")

    async def send(message: Message) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    gc.disable()  # the collector, which may come much later, would let go of it too
    try:
        await RequestMiddleware(application)({**scope}, arriving.get, send)
        await asyncio.sleep(0)  # until then this task has the cancellation that ended the wait
        del arriving
        assert (statuses, left()) == ([status], None)
    finally:
        gc.enable()


async def test_a_body_whose_caller_has_gone_is_not_passed_on() -> None:
    """A connection that is lost is not the end of a body, however complete what has come of it looks."""
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


async def test_who_sends_slowly_keeps_nobody_else_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request is in flight, of which there are so many, once all of it has arrived."""
    monkeypatch.setattr(middleware, "MOST_IN_FLIGHT", 1)
    met = list[Scope]()

    async def application(scope: Scope, _receive: Receive, send: Send) -> None:
        met.append(scope)
        await send({"type": "http.response.start", "status": 201, "headers": []})

    async def send(_message: Message) -> None:
        pass

    limited, arriving = RequestMiddleware(application), asyncio.Queue[Message]()
    slow = asyncio.create_task(limited(CHUNKED, arriving.get, send))
    await asyncio.sleep(0)
    await limited(BOOK, arriving.get, send)
    assert met == [BOOK]
    arriving.put_nowait({"type": "http.disconnect"})
    await slow
