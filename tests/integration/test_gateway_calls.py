"""The gateway turns HTTP calls into commands. The test answers in the workers' place, by the examples."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import nats
import pytest
from nats.aio.msg import Msg

from shared.contract import operations
from shared.contract.envelope import Reply
from shared.contract.operation import Operation
from shared.contract.operations import OPERATIONS, as_json
from shared.contract.parsing import validate
from shared.process.nats_wire import round_trip
from tests.integration.stand_in import answer_all, items_of
from tests.servers import Servers
from tests.stack import wait_until

SERVED: dict[str, Operation[Any, Any]] = {
    operation.many_subject if operation.batched else operation.subject: operation
    for operation in OPERATIONS
    if operation.http
}
ID = operations.GET.example.id
ONE = f"/api/appointments/{ID}"
WINDOW = {"from": "2030-01-07T00:00:00Z", "to": "2030-01-08T00:00:00Z"}
DAY = "/api/appointments?from=2030-01-07T00:00:00Z&to=2030-01-08T00:00:00Z"


@dataclass
class Gateway:
    """A gateway, and the commands that it has sent, with their subjects."""

    http: httpx.AsyncClient
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def answer(self, message: Msg) -> None:
        operation = SERVED[message.subject]
        payload, _ = Reply(operation.answer, operation.status).to_wire()
        if operation.batched:
            self.sent += [(message.subject, item["command"]) for item in items_of(message)]
            await answer_all(message, payload)
        else:
            self.sent.append((message.subject, json.loads(message.data)))
            await message.respond(payload)


@pytest.fixture(scope="module")
async def started(servers: Servers) -> AsyncIterator[Gateway]:
    with servers.new_stack() as stack:
        stack.start_gateway()
        async with (
            await nats.connect(stack.env["NATS_URL"]) as connection,
            httpx.AsyncClient(base_url=stack.url, timeout=20) as http,
        ):
            gateway = Gateway(http)
            for subject in SERVED:
                await connection.subscribe(subject, cb=gateway.answer)
            await round_trip(connection)
            wait_until(
                lambda: "not connected" not in httpx.get(f"{stack.url}/readyz").text,
                "the gateway is connected to NATS",
            )
            yield gateway


@pytest.fixture
def gateway(started: Gateway) -> Gateway:
    started.sent.clear()
    return started


@pytest.mark.parametrize(
    ("operation", "call", "sent"),
    [
        (operations.MOVE, ("PATCH", ONE, {"durationMinutes": 30}), {"id": ID, "durationMinutes": 30}),
        (
            operations.MOVE,
            ("PATCH", ONE, {"id": None, "slot": "2030-01-07T09:00Z"}),
            {"id": ID, "slot": "2030-01-07T09:00:00.000Z"},
        ),
        (operations.CANCEL, ("DELETE", ONE, None), {"id": ID}),
        (operations.GET, ("GET", ONE, None), {"id": ID}),
        (operations.HISTORY, ("GET", f"{ONE}/history", None), {"id": ID}),
        (operations.GRID, ("GET", "/api/grid", None), {}),
        (
            operations.LIST,
            ("GET", f"{DAY}&site=harbour&resource=dr-lee&cursor=abc", None),
            {
                "site": "harbour",
                "resource": ["dr-lee"],
                "from": "2030-01-07T00:00:00.000Z",
                "to": "2030-01-08T00:00:00.000Z",
                "cursor": "abc",
            },
        ),
        (
            operations.LIST_SLOTS,
            ("GET", "/api/slots?from=2030-01-07T02:00:00+02:00&to=2030-01-07T01:00Z", None),
            {
                "site": "default",
                "from": "2030-01-07T00:00:00.000Z",
                "to": "2030-01-07T01:00:00.000Z",
            },
        ),
        (
            operations.RELEASE,
            ("POST", "/api/release-hold", {"slot": "2030-01-07T09:00Z", "holdToken": ID}),
            {
                "slot": "2030-01-07T09:00:00.000Z",
                "holdToken": ID,
                "site": "default",
                "resources": ["default"],
            },
        ),
    ],
)
async def test_a_call_becomes_a_command_and_its_reply_the_answer(
    gateway: Gateway, operation: Operation[Any, Any], call: tuple[str, str, Any], sent: dict[str, Any]
) -> None:
    """The gateway sends an HTTP call as one command on one subject, and passes the reply on.

    Times may arrive as the caller wrote them, and defaults may be absent: a worker parses the command anyway.
    """
    method, url, body = call
    answer = await gateway.http.request(method, url, json=body)
    ((subject, command),) = gateway.sent
    command.pop("moveId", None)
    model = operation.command
    assert (SERVED[subject], validate(model, command)) == (operation, validate(model, sent))
    assert (answer.status_code, answer.json()) == (operation.status, as_json(operation.answer))


@pytest.mark.parametrize(
    ("method", "url", "error"),
    [
        ("GET", "/api/appointments", "Missing from or to"),
        ("GET", "/api/slots?from=2030-01-07T00:00:00Z&to=", "Missing from or to"),
        ("GET", f"{DAY}&day=1", "Unknown field day"),
        ("GET", f"{DAY}&Ada%20Lovelace=1&Ada%20Lovelace=2", "Unknown field"),
        ("GET", f"{DAY}&site=a&site=b", "site was sent more than once"),
        ("GET", f"{DAY}&site=", "site must be 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-'"),
        ("GET", f"{DAY}&cursor=%2B", "cursor must be what `next` of the page before says"),
        ("GET", "/api/slots?from=2030-01-07T00:00Z&to=2030-01-07T00:00Z", "to must be later than from"),
        (
            "GET",
            "/api/slots?from=2030-01-07T00:00Z&to=2030-02-08T00:01Z",
            "to must be at most 32 days after from",
        ),
        (
            "GET",
            "/api/slots?from=2030-01-07&to=2030-01-08",
            "from must be an ISO 8601 time with an offset, for example 2025-12-05T10:00:00Z",
        ),
        ("GET", "/api/grid?site=a", "Unknown field site"),
        ("GET", f"{ONE}?id={ID}", "id was sent more than once"),
        ("GET", f"{ONE}/history?page=2", "Unknown field page"),
        ("DELETE", f"{ONE}?reason=ill", "Unknown field reason"),
        ("DELETE", f"{ONE}?ifVersion=1", "Unknown field ifVersion"),
        (
            "PATCH",
            f"{ONE}?slot=2030-01-07T00:00Z",
            "Query parameters are not accepted here; what you ask for belongs into the body",
        ),
    ],
)
async def test_a_query_is_as_strict_as_a_body(gateway: Gateway, method: str, url: str, error: str) -> None:
    """A missing, invalid, unknown or repeated query field gets 400 that names it, and no command is sent."""
    answer = await gateway.http.request(method, url, json={} if method == "PATCH" else None)
    assert (answer.status_code, answer.json()) == (400, {"error": error})
    assert not gateway.sent


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"id": ID}, "Unknown field id"),
        ({"moveId": ID}, "Unknown field moveId"),
        ({"moveId": 5}, "Unknown field moveId"),
        ({"ifVersion": "x"}, "Unknown field ifVersion"),
        ({"id": None}, "Nothing to change"),
        ({"slot": "tomorrow"}, "slot must be an ISO 8601 time with an offset"),
    ],
)
async def test_a_move_takes_only_its_target_from_the_body(
    gateway: Gateway, body: dict[str, Any], error: str
) -> None:
    """A PATCH takes no `id`, `moveId` or `ifVersion` in its body: path and headers carry them."""
    answer = await gateway.http.patch(ONE, json=body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(error)
    assert not gateway.sent


async def test_a_cancel_takes_no_body(gateway: Gateway) -> None:
    """A DELETE with a body of any type gets 400; the body is not ignored."""
    for media_type in ("text/plain", "application/json"):
        answer = await gateway.http.request("DELETE", ONE, content=b"{", headers={"Content-Type": media_type})
        assert answer.status_code == 400
    assert not gateway.sent
    assert (await gateway.http.delete(ONE)).status_code == 200


async def test_the_gateway_gives_every_move_its_own_id(gateway: Gateway) -> None:
    """The gateway gives every move its own id, by which a worker recognizes a retry."""
    for _ in range(2):
        await gateway.http.patch(ONE, json={"slot": "2031-05-04T10:00:00Z"})
    (_, first), (_, second) = gateway.sent
    assert first["moveId"] != second["moveId"]


@pytest.mark.parametrize("id", ["nothing", "%ff", "%ed%a0%80", "%00", "x" * 5000, "Ada%20Lovelace"])
async def test_any_id_in_a_path_is_sent_to_a_worker(gateway: Gateway, id: str) -> None:
    """The gateway sends any id in a path to a worker, which judges it."""
    assert (await gateway.http.get(f"/api/appointments/{id}")).status_code == 200


async def test_a_405_names_all_methods_of_the_path(gateway: Gateway) -> None:
    """The `Allow` header of a 405 names all methods of a path, though they are separate routes."""
    for url, methods in ((ONE, {"GET", "HEAD", "PATCH", "DELETE"}), ("/api/appointments", {"GET", "HEAD"})):
        answer = await gateway.http.put(url)
        assert answer.status_code == 405
        assert set(answer.headers["Allow"].split(", ")) == methods
