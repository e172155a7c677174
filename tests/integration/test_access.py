"""Keys over HTTP, on a running stack: who may call what, and what a key that may not gets."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from gateway.webhooks.calls import CALLS as WEBHOOK_CALLS
from shared.contract.operation import Call, Operation
from shared.contract.operations import OPERATIONS, as_json
from tests.keys import ALL_SCOPES, KeyFile, bearer
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Stack, wait_until

BOOK = "/api/book-appointment"
NOTHING = "1d0f6c3e-0000-4000-8000-000000000404"
WINDOW = {"from": "2031-05-04T00:00:00Z", "to": "2031-05-05T00:00:00Z"}


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    return KeyFile(tmp_path_factory.mktemp("keys") / "keys.json")


@pytest.fixture(scope="module")
def closed(servers: Servers, key_file: KeyFile) -> Iterator[Stack]:
    """Start a stack whose gateway has keys."""
    with servers.new_stack(API_KEYS_FILE=str(key_file.path)) as stack:
        stack.start("gateway.webhooks")
        yield stack.up(booking_workers=1)


@pytest.fixture(scope="module")
async def http(closed: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=closed.url, timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
def key_of(closed: Stack, key_file: KeyFile) -> dict[str, str]:
    """Return keys by name: one of each scope, and `admin_of_all` with all."""
    keys = {scope: key_file.new(scope) for scope in ALL_SCOPES}
    keys["all"] = key_file.new(*ALL_SCOPES)
    wait_until(
        lambda: httpx.get(f"{closed.url}/api/grid", headers=bearer(keys["all"])).status_code == 200,
        "the gateway has read the keys",
    )
    return keys


def request_of(operation: Operation[Any, Any], call: Call) -> dict[str, Any]:
    """Return a valid request of a call that changes nothing that another test needs."""
    body = as_json(operation.example, call.body) if call.body else None
    if body and "slot" in body and "patientName" in body:
        body = fresh("Ada")
    query = WINDOW if "from" in as_json(operation.example) else None
    return {
        "method": call.method,
        "url": call.path.replace("{id}", NOTHING),
        **({"json": body} if body else {}),
        **({"params": query} if query else {}),
    }


OF_OPERATIONS = [
    (each.http.scope, request_of(each, each.http)) for each in OPERATIONS if each.http is not None
]
OF_WEBHOOKS = [
    (
        "webhooks",
        {
            "method": call.method,
            "url": call.path.replace("{id}", NOTHING),
            **({"json": as_json(call.body)} if call.body else {}),
        },
    )
    for call in WEBHOOK_CALLS
    if call.method != "POST" or call.body is None
]
CALLS = [*OF_OPERATIONS, *OF_WEBHOOKS]
NAMES = [f"{request['method']} {request['url']}" for _, request in CALLS]


@pytest.mark.parametrize("scope", ALL_SCOPES)
@pytest.mark.parametrize(("needed", "request_"), CALLS, ids=NAMES)
async def test_key_makes_the_calls_of_its_scopes_alone(
    http: httpx.AsyncClient, key_of: dict[str, str], scope: str, needed: str | None, request_: dict[str, Any]
) -> None:
    """A key without the call's scope gets 403, which names the scope; any other key gets past it."""
    answer = await http.request(**request_, headers=bearer(key_of[scope]))
    if needed in (None, scope):
        assert answer.status_code in (200, 201, 404), answer.text
    else:
        assert (answer.status_code, answer.headers["Error-Type"]) == (403, "Forbidden")
        assert answer.json() == {"error": f"The key does not have the scope {needed}"}


@pytest.mark.parametrize(("needed", "request_"), CALLS, ids=NAMES)
async def test_call_without_a_key_is_refused(
    http: httpx.AsyncClient, key_of: dict[str, str], needed: str | None, request_: dict[str, Any]
) -> None:
    """No call of the API is open."""
    answer = await http.request(**request_)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.headers["Error-Type"] == "Unauthorized"
    assert (await http.request(**request_, headers=bearer(key_of["all"]))).status_code != 401
