"""The document of the HTTP API, whose calls parse their requests without FastAPI."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.app import create_app
from gateway.docs.document import BODIES
from gateway.webhooks.calls import MODELS
from shared.contract import errors
from shared.contract.caller import Scope
from shared.contract.operations import OPERATIONS, as_json
from shared.contract.parsing import validate
from shared.process.settings import NatsSettings

COMMITTED = Path(__file__).parents[2] / "gateway" / "docs" / "openapi.json"
DOCUMENT: dict[str, Any] = create_app(NatsSettings()).openapi()
CALLS = {
    operation["operationId"]: (method, path, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}


def resolve(part: dict[str, Any]) -> dict[str, Any]:
    """Return the target of a reference, or the part itself."""
    found = DOCUMENT
    if "$ref" not in part:
        return part
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def test_committed_document_is_generated_from_the_code() -> None:
    """gateway/docs/openapi.json describes the gateway's calls; `make documents` writes it."""
    assert json.loads(COMMITTED.read_text()) == DOCUMENT


def test_document_is_valid() -> None:
    """The document follows the rules of OpenAPI 3.1, and names no server."""
    assert not list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors())
    assert "servers" not in DOCUMENT


def test_call_of_the_api_names_its_scope_and_its_refusals_of_keys() -> None:
    """Generated clients and the Authorize button of /docs follow from `security`; health checks are open."""
    assert DOCUMENT["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    scopes = {each.http.name: each.http.scope for each in OPERATIONS if each.http}
    for name, (_, path, operation) in CALLS.items():
        if not path.startswith("/api/"):
            assert "security" not in operation
            continue
        scope = Scope.WEBHOOKS if path.startswith("/api/webhooks") else scopes.get(name)
        others = [Scope.NAMES] if name == "moveAppointment" else []  # an amendment of the name
        assert operation["security"] == [{"key": [each] if each else []} for each in (scope, *others)]
        assert (f"the scope `{scope}`" if scope else "Needs any key") in operation["description"]
        assert {"401", "403", "429"} <= set(operation["responses"])
        assert "WWW-Authenticate" in resolve(operation["responses"]["401"])["headers"]


def test_operation_ids_are_stable() -> None:
    """Generated clients use these operation ids, so they do not change."""
    assert {name: f"{method.upper()} {path}" for name, (method, path, _) in CALLS.items()} == {
        "bookAppointment": "POST /api/book-appointment",
        "moveAppointment": "PATCH /api/appointments/{id}",
        "cancelAppointment": "DELETE /api/appointments/{id}",
        "getAppointment": "GET /api/appointments/{id}",
        "getHistory": "GET /api/appointments/{id}/history",
        "listAppointments": "GET /api/appointments",
        "holdAppointment": "POST /api/hold-appointment",
        "releaseHold": "POST /api/release-hold",
        "listSlots": "GET /api/slots",
        "watchSlots": "GET /api/live",
        "getGrid": "GET /api/grid",
        "putSchedule": "PUT /api/schedules/{site}/{resource}",
        "getSchedule": "GET /api/schedules/{site}/{resource}",
        "deleteSchedule": "DELETE /api/schedules/{site}/{resource}",
        "listSchedules": "GET /api/schedules/{site}",
        "listConflicts": "GET /api/schedules/{site}/{resource}/conflicts",
        "findFreeSlots": "GET /api/free-slots",
        "findNextFree": "GET /api/next-free",
        "createWebhook": "POST /api/webhooks",
        "listWebhooks": "GET /api/webhooks",
        "deleteWebhook": "DELETE /api/webhooks/{id}",
        "rotateWebhookSecret": "POST /api/webhooks/{id}/rotate",
        "replayWebhook": "POST /api/webhooks/{id}/replay",
        "testWebhook": "POST /api/webhooks/{id}/test",
        "listDeliveries": "GET /api/webhooks/{id}/deliveries",
        "isAlive": "GET /livez",
        "isReady": "GET /readyz",
        "getMetrics": "GET /metrics",
    }


@pytest.mark.parametrize("name", CALLS)
def test_answer_has_its_headers_and_an_example(name: str) -> None:
    """A call has a description, and every outcome has a body, headers and an example."""
    _, path, operation = CALLS[name]
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    statuses = {int(status): resolve(answer) for status, answer in operation["responses"].items()}
    assert {405, 408, 413} <= set(statuses)
    assert path.startswith("/api/") <= ({400, 503, 504} <= set(statuses))
    for status, answer in statuses.items():
        headers, (content,) = set(answer["headers"]), answer["content"].values()
        assert answer["description"]
        assert "X-Request-Id" in headers
        assert content["schema"]
        assert "example" in content or content["examples"]
        assert ("Retry-After" in headers) == (status in {429, 503, 504})
        if path.startswith("/api/"):
            assert ("Error-Type" in headers) == (status >= 400)
        for example in content.get("examples", ()):
            assert getattr(errors, example).status == status


@pytest.mark.parametrize("name", CALLS)
def test_example_body_of_a_call_is_accepted(name: str) -> None:
    """The example of a request body is valid."""
    body = CALLS[name][2].get("requestBody")
    if body is None:
        assert "415" not in CALLS[name][2]["responses"]
        return
    content = body["content"]["application/json"]
    models: dict[str, Any] = {model.__name__: model for model in BODIES | MODELS}
    examples = content["examples"].values() if "examples" in content else [{"value": content["example"]}]
    schemas = content["schema"].get("anyOf", [content["schema"]])
    for schema, example in zip(schemas, examples, strict=True):
        model = models[schema["$ref"].rpartition("/")[2]]
        validate(model, example["value"])
        assert set(resolve(schema)["properties"]) == set(model.model_fields)
    assert "415" in CALLS[name][2]["responses"]


def test_list_is_documented_with_its_query_parameters() -> None:
    """The parameters are the fields of the command, and the required ones are marked."""
    for name in ("listAppointments", "listSlots"):
        query = {
            parameter["name"]: parameter["required"]
            for parameter in map(resolve, CALLS[name][2]["parameters"])
            if parameter["in"] == "query"
        }
        assert query == {"site": False, "resource": False, "from": True, "to": True, "cursor": False}
    watched = {parameter.get("name") for parameter in CALLS["watchSlots"][2]["parameters"]}
    assert watched == {"site", "resource", "from", "to", None}


def test_booking_documents_the_headers_of_idempotency() -> None:
    """`bookAppointment` takes `Idempotency-Key`, and its 201 may have `Idempotency-Replayed`."""
    sent = {parameter["name"] for parameter in map(resolve, CALLS["bookAppointment"][2]["parameters"])}
    assert sent == {"X-Request-Id", "Idempotency-Key"}
    assert "Idempotency-Replayed" in CALLS["bookAppointment"][2]["responses"]["201"]["headers"]
    assert "Allow" in resolve(CALLS["bookAppointment"][2]["responses"]["405"])["headers"]


def test_header_parameters_have_no_example_value() -> None:
    """A page fills in examples, so with a fixed key two people's bookings would be one request."""
    for _, _, operation in CALLS.values():
        for parameter in map(resolve, operation["parameters"]):
            if parameter["in"] == "header":
                assert not {"example", "examples"} & {*parameter, *parameter["schema"]}
                assert "default" not in parameter["schema"]


def test_answers_have_no_nulls() -> None:
    """The schemas of answers have no nulls; a request may send null for an absent value."""
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["Appointment"]["properties"]["durationMinutes"]["type"] == "integer"
    assert schemas["ErrorBody"]["properties"]["outcome"]["enum"] == ["not_executed", "unknown"]
    assert schemas["SlotRequest"]["properties"]["site"]["type"] == ["string", "null"]


def test_route_of_the_api_is_documented() -> None:
    """Every route below /api is in the document."""
    routes = [route for route in create_app(NatsSettings()).routes if isinstance(route, APIRoute)]
    served = {(method.lower(), route.path) for route in routes for method in route.methods or ()}
    documented = {(method, path) for method, path, _ in CALLS.values()}
    assert {call for call in served if call[1].startswith("/api/")} <= documented


def test_examples_of_the_operations_are_valid() -> None:
    """The examples of commands and replies pass validation."""
    for operation in OPERATIONS:
        assert validate(operation.command, as_json(operation.example)) == operation.example
        assert operation.reply.model_validate(as_json(operation.answer)) == operation.answer
