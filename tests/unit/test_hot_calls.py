"""The hot calls bypass FastAPI, and answer exactly as FastAPI does."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Scope
from structlog.testing import capture_logs

from gateway.api.calls import HotCalls
from gateway.app import create_app
from gateway.http.middleware import RequestMiddleware
from shared.client.requester import Requester
from shared.contract.envelope import Reply
from shared.contract.errors import OutcomeUnknown, Refused, SlotAlreadyBooked
from shared.contract.headers import REPLAYED
from shared.contract.operation import Operation
from shared.contract.operations import MOVE
from shared.contract.parsing import parse_command
from shared.process.settings import NatsSettings
from tests.slots import fresh

BOOK, HOLD = "/api/book-appointment", "/api/hold-appointment"
ONE = f"/api/appointments/{MOVE.example.id}"
JSON = {"Content-Type": "application/json"}
SLOT = {"slot": "2031-05-04T09:00Z"}
LOST = "1d0f6c3e-0000-4000-8000-000000000504"
OF_ONE_REQUEST = {"x-request-id", "request_id", "ms"}


def _of(command: Any, error: Refused) -> Refused:
    error.command = command
    return error


class Client:
    """A client whose answer depends on the patient's name."""

    async def send(
        self, operation: Operation[Any, Any], command: Any, payload: bytes | None, requester: Requester
    ) -> Reply[Any]:
        assert len(requester.request_id or "") == 32
        assert payload is None or parse_command(operation.command, payload) == command
        name = getattr(command, "patientName", None) or command.id
        match name:
            case "Taken":
                raise _of(command, SlotAlreadyBooked())
            case "Lost" | "1d0f6c3e-0000-4000-8000-000000000504":
                raise _of(command, OutcomeUnknown())
            case "Broken":
                raise RuntimeError("Broken")
        headers = {REPLAYED: "true"} if getattr(command, "idempotencyKey", None) else {}
        content = {"message": "é", "for": name}
        return Reply.received(content, operation.reply, operation.status, headers)


def body(name: str = "Ada", **more: Any) -> dict[str, Any]:
    return {"json": {**fresh(), "patientName": name, **more}}


SAME: dict[str, tuple[str, str, dict[str, Any]]] = {
    "booked": ("POST", BOOK, body()),
    "replayed": ("POST", BOOK, {**body(), "headers": {"Idempotency-Key": "4711"}}),
    "an invalid key": ("POST", BOOK, {**body(), "headers": {"Idempotency-Key": "é".encode("latin-1")}}),
    "two keys": ("POST", BOOK, {**body(), "headers": [("Idempotency-Key", "1"), ("Idempotency-Key", "2")]}),
    "two media types": (
        "POST",
        BOOK,
        {"content": b"{}", "headers": [("Content-Type", "text/plain"), ("Content-Type", "application/json")]},
    ),
    "taken": ("POST", BOOK, body("Taken")),
    "lost": ("POST", BOOK, body("Lost")),
    "broken": ("POST", BOOK, body("Broken")),
    "held": ("POST", HOLD, body()),
    "hold taken": ("POST", HOLD, body("Taken")),
    "a key for a hold": ("POST", HOLD, {**body(), "headers": {"Idempotency-Key": "4711"}}),
    "a version": ("POST", BOOK, {**body(), "headers": {"If-Match": '"1"'}}),
    "a version for a hold": ("POST", HOLD, {**body(), "headers": {"If-Match": "*"}}),
    "a blank key": ("POST", BOOK, {**body(), "headers": {"Idempotency-Key": "  4711 "}}),
    "a repeated field": ("POST", BOOK, {"content": b'{"slot":1,"slot":2}', "headers": JSON}),
    "compressed": ("POST", BOOK, {**body(), "headers": {"Content-Encoding": "gzip"}}),
    "two hosts": ("POST", HOLD, {**body(), "headers": [("Host", "a"), ("Host", "a")]}),
    "a long query": ("POST", f"{BOOK}?{'x' * 17_000}", body()),
    "query": ("POST", f"{BOOK}?site=4", body()),
    "charset": (
        "POST",
        BOOK,
        {"content": b"{}", "headers": {"Content-Type": "Application/JSON ; charset=utf-8"}},
    ),
    "no media type": ("POST", BOOK, {"content": b"{}"}),
    "no body": ("POST", BOOK, {"headers": JSON}),
    "no JSON": ("POST", HOLD, {"content": b"{", "headers": JSON}),
    "a list": ("POST", HOLD, {"content": b"[]", "headers": JSON}),
    "a surrogate": (
        "POST",
        BOOK,
        {"content": b'{"slot":"2031-05-04T09:00Z","patientName":"\\ud800"}', "headers": JSON},
    ),
    "an unknown field": ("POST", BOOK, body(more=1)),
    "too large": ("POST", BOOK, {"content": b" " * 20_000, "headers": JSON}),
    "moved": ("PATCH", ONE, {"json": SLOT}),
    "moved with a key": (
        "PATCH",
        ONE,
        {"json": SLOT, "headers": {"Idempotency-Key": "1", "If-Match": '"3"'}},
    ),
    "move refused": ("PATCH", "/api/appointments/Taken", {"json": SLOT}),
    "move lost": ("PATCH", f"/api/appointments/{LOST}", {"json": SLOT}),
    "moved nowhere": ("PATCH", ONE, {"json": {}}),
    "an id in the body": ("PATCH", ONE, {"json": {**SLOT, "id": "1"}}),
    "an escaped id": ("PATCH", "/api/appointments/%C3%A9%20", {"json": SLOT}),
    "an escaped slash": ("PATCH", "/api/appointments/a%2Fb", {"json": SLOT}),
    "no id": ("PATCH", "/api/appointments/", {"json": SLOT}),
    "a template for an id": ("PATCH", "/api/appointments/%7Bid%7D", {"json": SLOT}),
    "a slash after an id": ("PATCH", f"{ONE}/", {"json": SLOT}),
    "two slashes before an id": ("PATCH", f"/api/appointments//{MOVE.example.id}", {"json": SLOT}),
    "moved with a query": ("PATCH", f"{ONE}?site=4", {"json": SLOT}),
    "amended": ("PATCH", ONE, {"json": {"attendance": "missed"}, "headers": {"If-Match": '"3"'}}),
    "amended with a null": ("PATCH", ONE, {"json": {"attendance": "missed", "slot": None}}),
    "amended and moved": ("PATCH", ONE, {"json": {**SLOT, "attendance": "missed"}}),
    "amended with a key": (
        "PATCH",
        ONE,
        {"json": {"patientName": "Ada"}, "headers": {"Idempotency-Key": "1"}},
    ),
    "amendment refused": ("PATCH", ONE, {"json": {"patientName": "Taken"}}),
    "amendment lost": ("PATCH", ONE, {"json": {"patientName": "Lost"}}),
    "amended to nothing": ("PATCH", ONE, {"json": {"patientName": " "}}),
    "cancelled": ("DELETE", ONE, {}),
    "a version cancelled": ("DELETE", ONE, {"headers": {"If-Match": '"3"'}}),
    "a cancel with a key": ("DELETE", ONE, {"headers": {"Idempotency-Key": "1"}}),
    "a cancel with a body": ("DELETE", ONE, {"json": SLOT}),
    "a cancel with a query": ("DELETE", f"{ONE}?ifVersion=3", {}),
    "get": ("GET", BOOK, {}),
    "head": ("HEAD", BOOK, {}),
    "options": ("OPTIONS", HOLD, {}),
    "put": ("PUT", BOOK, body()),
    "lower case": ("post", BOOK, body()),
    "trailing slash": ("POST", f"{BOOK}/", body()),
    "two slashes": ("POST", f"/{BOOK}", body()),
    "upper case": ("POST", BOOK.upper(), body()),
    "escaped": ("POST", BOOK.replace("-", "%2D"), body()),
}


def logged_of(case: str) -> dict[str, Any]:
    """Return the log fields of a refused request for a slot."""
    asked = SAME[case][2]["json"]
    return {"site": asked["site"], "resources": ("default",), "slot": "2031-05-04T09:00:00.000Z"}


@pytest.fixture
def app() -> FastAPI:
    app = create_app(NatsSettings())
    app.state.client = Client()
    return app


async def ask(gateway: ASGIApp, method: str, url: str, more: dict[str, Any]) -> tuple[Any, ...]:
    """Return the answer and the log lines, without the fields that differ between requests."""
    transport = httpx.ASGITransport(gateway)
    with capture_logs() as lines:
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            answer = await client.request(method, url, **more)
    assert len(answer.headers["x-request-id"]) == 32
    headers = {name: value for name, value in answer.headers.items() if name not in OF_ONE_REQUEST}
    logged = [{key: value for key, value in line.items() if key not in OF_ONE_REQUEST} for line in lines]
    return answer.status_code, answer.content, headers, logged


@pytest.mark.parametrize(("method", "url", "more"), SAME.values(), ids=SAME)
async def test_hot_call_is_answered_as_fastapi_answers_it(
    app: FastAPI, method: str, url: str, more: dict[str, Any]
) -> None:
    """Status, body, headers and log equal those of a request that FastAPI routes."""
    hot = await ask(RequestMiddleware(app, HotCalls(app.state).find), method, url, more)
    assert hot == await ask(RequestMiddleware(app), method, url, more)


@pytest.mark.parametrize(
    ("case", "level", "expected"),
    [
        ("booked", "info", None),
        ("taken", "info", {"error_type": "SlotAlreadyBooked", **logged_of("taken")}),
        ("hold taken", "info", {"error_type": "SlotAlreadyBooked", **logged_of("hold taken")}),
        ("lost", "warning", {"error_type": "OutcomeUnknown", **logged_of("lost")}),
        ("no JSON", "info", {"error_type": "InvalidRequest"}),
        ("two hosts", "info", {"error_type": "InvalidRequest"}),
        ("too large", "info", {"error_type": "TooLarge"}),
    ],
)
async def test_refused_request_is_logged_with_its_reason_and_slot(
    app: FastAPI, case: str, level: str, expected: dict[str, Any] | None
) -> None:
    """Its line has the error type, site, resources and slot, and nothing of an invalid body."""
    *_, lines = await ask(RequestMiddleware(app, HotCalls(app.state).find), *SAME[case])
    line = lines[-1]
    known = {"event", "log_level", "method", "route", "status"}
    details = {name: value for name, value in line.items() if name not in known}
    assert details == (expected or {})
    assert line["log_level"] == level


@pytest.mark.parametrize("case", ["booked", "replayed", "taken", "held", "no JSON"])
async def test_hot_call_bypasses_fastapi(app: FastAPI, case: str) -> None:
    """FastAPI would cost more than the rest of a hot call, so both hot calls bypass it."""

    async def never(*_: Any) -> None:
        raise AssertionError("passed on")

    status, *_ = await ask(RequestMiddleware(never, HotCalls(app.state).find), *SAME[case])
    others = {"taken": 409, "move refused": 409, "held": 200, "moved": 200, "cancelled": 200, "no JSON": 400}
    assert status == others.get(case, 201)


async def test_failed_route_is_an_unknown_outcome(app: FastAPI) -> None:
    """A FastAPI route that fails answers 504, never 500, and the failure is logged."""

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("Ada")

    status, content, headers, logged = await ask(RequestMiddleware(app), "GET", "/broken", {})
    assert (status, headers["error-type"]) == (504, "OutcomeUnknown")
    assert [line["event"] for line in logged] == ["request_failed", "answered"]
    assert b"Ada" not in content


@pytest.mark.parametrize("method", ["Zebra", "GETS", "PROPFIND", "X" * 60_000], ids=lambda method: method[:9])
async def test_unknown_method_is_logged_as_other(app: FastAPI, method: str) -> None:
    """The log names only known methods, because an invented one could contain a name."""
    status, _, _, (line,) = await ask(RequestMiddleware(app), method, "/api/grid", {})
    assert (status, line["method"]) == (405, "other")


@pytest.mark.parametrize(
    "headers",
    [[], [("Host", "a"), ("Host", "b")], [("Host", "a"), ("Host", "a")]],
    ids=["none", "two", "the same twice"],
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/livez"), ("POST", BOOK), ("GET", "/docs"), ("PUT", "/x")]
)
async def test_request_must_have_one_host(
    app: FastAPI, method: str, path: str, headers: list[tuple[str, str]]
) -> None:
    """HTTP/1.1 requires exactly one `Host`; any other request gets 400."""
    sent = list[Message]()

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope: Scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
    }
    gateway = RequestMiddleware(app, HotCalls(app.state).find)
    await gateway(scope, receive, send)
    assert sent[0]["status"] == 400
    assert b"Host" in sent[1]["body"]
    if not headers:
        sent.clear()
        await gateway({**scope, "http_version": "1.0"}, receive, send)
        assert b"Host" not in sent[1]["body"]  # HTTP/1.0 requires no Host
