"""A call of the API follows from its operation alone: route, document, and command."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from gateway.api import calls, routes
from gateway.app import create_app
from gateway.http.middleware import RequestMiddleware
from shared.client.requester import Requester
from shared.contract.commands import Command, GetAppointment
from shared.contract.envelope import Reply
from shared.contract.errors import NoSuchAppointment, PreconditionFailed
from shared.contract.fields import IdempotencyKey, PatientName, Version
from shared.contract.operation import Call, Operation
from shared.contract.operations import APPOINTMENTS, GET
from shared.contract.parsing import parse_command
from shared.process.settings import NatsSettings

ID = GET.example.id
ONE = f"/api/appointments/{ID}/reminder"


class Reminder(Command):
    by: PatientName | None = None


class RemindPatient(GetAppointment, Reminder):
    reminderId: IdempotencyKey | None = None
    ifVersion: Version | None = None


REMIND = Operation(
    subject="booking.v1.remind",
    group="booking_worker",
    example=RemindPatient(id=ID, by="Ada"),
    answer=GET.answer,
    status=202,
    key="reminderId",
    refusals=(NoSuchAppointment, PreconditionFailed),
    http=Call(
        "remindPatient",
        "PUT",
        "/api/appointments/{id}/reminder",
        APPOINTMENTS,
        "Remind a patient",
        "The patient will come.",
        body=Reminder,
        key=True,
        answers=("ETag",),
    ),
)


class Client:
    """A client that only records the commands that it is to send."""

    def __init__(self) -> None:
        self.sent: list[tuple[Operation[Any, Any], Command]] = []
        self.payloads: list[bytes | None] = []

    async def send(
        self, operation: Operation[Any, Any], command: Command, payload: bytes | None, requester: Requester
    ) -> Reply[Any]:
        self.payloads.append(payload)
        assert requester.request_id
        self.sent.append((operation, command))
        return Reply(operation.answer, operation.status)


@pytest.fixture
def app() -> FastAPI:
    """Return the gateway's API with one operation that the gateway does not define."""
    app = create_app(NatsSettings())
    routes.register(app, (REMIND,))
    app.state.client = Client()
    return app


async def ask(app: FastAPI, method: str, url: str, **more: Any) -> httpx.Response:
    transport = httpx.ASGITransport(RequestMiddleware(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return await client.request(method, url, **more)


async def test_call_builds_its_command_from_path_body_and_headers(app: FastAPI) -> None:
    """The gateway sends a new operation without another line of code."""
    headers = {"Idempotency-Key": "4711", "If-Match": '"3"'}
    answer = await ask(app, "PUT", ONE, json={"by": "Ada"}, headers=headers)
    assert (answer.status_code, answer.text) == (202, REMIND.answer.model_dump_json(exclude_none=True))
    whole = RemindPatient(id=ID, by="Ada", reminderId="4711", ifVersion=3)
    assert app.state.client.sent == [(REMIND, whole)]
    await ask(app, "PUT", ONE, json={})
    assert app.state.client.sent[1:] == [(REMIND, RemindPatient(id=ID))]


@pytest.mark.parametrize(
    ("body", "headers", "payload"),
    [
        (
            b' { "by" : "A\\u00e9da" }\n',
            {},
            b'{ "by" : "A\\u00e9da" ,"id": "%b"}' % ID.encode(),
        ),
        (
            '{"by":"é"}'.encode(),
            {"Idempotency-Key": 'a"\\b', "If-Match": '"3"'},
            f'{{"by":"é","id": "{ID}", "reminderId": "a\\"\\\\b", "ifVersion": 3}}',
        ),
        (b'{"by":"Ada"}', {"If-Match": "*"}, b'{"by":"Ada","id": "%b"}' % ID.encode()),
        (b'{"by":"Ada","reminderId":null}', {"Idempotency-Key": "4711"}, None),
        (b'{"by":"Ada","id":null}', {}, None),
        (b"{}", {}, None),
        (b"", {}, None),
        (b'{"by":"Ada"}' + b" " * 1024, {}, None),
    ],
)
async def test_a_valid_body_is_passed_on_as_it_came(
    app: FastAPI, body: bytes, headers: dict[str, str], payload: bytes | str | None
) -> None:
    """A short body without nulls is passed on, with what path and headers say; it means the same command."""
    headers |= {"Content-Type": "application/json"}
    assert (await ask(app, "PUT", ONE, content=body, headers=headers)).status_code == 202
    assert app.state.client.payloads == [payload.encode() if isinstance(payload, str) else payload]
    ((_, command),) = app.state.client.sent
    assert payload is None or parse_command(RemindPatient, app.state.client.payloads[0]) == command


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"json": {"id": ID}}, "Unknown field id"),
        ({"json": {"reminderId": "4711"}}, "Unknown field reminderId"),
        ({"json": {"by": 5, "ifVersion": 3}}, "by must be a string"),
        ({"json": []}, "Body must be a JSON object"),
        ({"json": {}, "params": {"by": "Ada"}}, calls.NO_QUERY),
        (
            {"json": {}, "headers": {"If-Match": "3"}},
            'If-Match must be * or one version in double quotes, such as "5"',
        ),
    ],
)
async def test_call_accepts_a_field_in_one_place_only(app: FastAPI, more: dict[str, Any], error: str) -> None:
    """A field that the path or a header carries is unknown in the body."""
    answer = await ask(app, "PUT", ONE, **more)
    assert (answer.status_code, answer.json()) == (400, {"error": error})
    assert not app.state.client.sent


def test_call_is_documented_from_its_operation(app: FastAPI) -> None:
    """The document has the operation's name, parameters, body, answers and refusals."""
    described = app.openapi()["paths"]["/api/appointments/{id}/reminder"]["put"]
    sent = [parameter.get("name", "X-Request-Id") for parameter in described["parameters"]]
    assert sent == ["id", "Idempotency-Key", "If-Match", "X-Request-Id"]
    assert (described["operationId"], described["summary"]) == (
        "remindPatient",
        "Remind a patient",
    )
    assert described["requestBody"]["content"]["application/json"]["example"] == {"by": "Ada"}
    assert set(described["responses"]["202"]["headers"]) == {"X-Request-Id", "ETag"}
    assert {"404", "412", "503"} <= set(described["responses"])
