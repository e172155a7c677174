"""Keys over HTTP, on a running stack: who may call what, and what a key that may not gets."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
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
NOT_THIS, NOT_DEFAULT = "The key does not permit this site", "The key does not permit the site default"
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
    example = as_json(operation.example)
    path = {name: example[name] for name in ("site", "resource") if f"{{{name}}}" in call.path}
    query: dict[str, Any] = dict(WINDOW) if "from" in example else {}
    if "resource" in example and "resource" not in path:
        query["resource"] = example["resource"]
    return {
        "method": call.method,
        "url": call.path.format(**path, id=NOTHING),
        **({"json": body} if body else {}),
        **({"params": query} if query else {}),
    }


OF_OPERATIONS = [
    (next(iter(each.http.scopes_of(each.example)), None), request_of(each, each.http))
    for each in OPERATIONS
    if each.http is not None
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


async def test_unknown_path_below_the_api_needs_a_key_too(
    http: httpx.AsyncClient, key_of: dict[str, str]
) -> None:
    """401 without a key, so that paths cannot be explored; 404 and 405 with one."""
    for method, path, status in (("GET", "/api/nothing", 404), ("PUT", BOOK, 405)):
        assert (await http.request(method, path)).status_code == 401
        assert (await http.request(method, path, headers=bearer(key_of["book"]))).status_code == status


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/metrics", "/docs", "/openapi.json", "/asyncapi.json"]
)
async def test_path_without_bookings_needs_no_key(http: httpx.AsyncClient, path: str) -> None:
    """Probes, metrics and documents have neither names nor bookings."""
    assert (await http.get(path)).status_code == 200


async def test_unknown_and_wrong_key_get_the_same_answer(
    http: httpx.AsyncClient, key_of: dict[str, str]
) -> None:
    """Status, headers and body are equal, byte for byte, but for the ids of the requests."""
    answers = [
        await http.post(BOOK, json=fresh("Ada"), headers=headers)
        for headers in (
            {},
            bearer("sk_nothing_" + "x" * 43),
            bearer(key_of["book"][:-1] + "_"),
            bearer("a.b.c"),
            {"Authorization": "Basic YTpi"},
        )
    ]
    own = {"x-request-id", "date"}
    described = [
        (
            answer.status_code,
            answer.content,
            {name: value for name, value in answer.headers.items() if name not in own},
        )
        for answer in answers
    ]
    assert described == [described[0]] * len(answers)
    assert answers[0].json() == {"error": "Send a valid key: Authorization: Bearer <key>"}


async def book(http: httpx.AsyncClient, token: str, body: dict[str, Any]) -> httpx.Response:
    return await http.post(BOOK, json=body, headers=bearer(token))


async def live(closed: Stack, key_file: KeyFile, *scopes: str, sites: Any = "all", **more: Any) -> str:
    """Add a key, and return it once the gateway knows it."""
    token = key_file.new(*scopes, sites=sites, **more)
    wait_until(
        lambda: httpx.get(f"{closed.url}/api/grid", headers=bearer(token)).status_code == 200,
        "the gateway has read the key",
    )
    return token


async def test_key_without_names_reads_no_name(http: httpx.AsyncClient, key_of: dict[str, str]) -> None:
    """201, GET, a list and the answers to a cancel leave it out; a key with `names` reads it."""
    body = fresh("Zoe-canary", contact="canary@example.org")
    booked = await book(http, key_of["book"], body)
    assert booked.status_code == 201
    one = f"/api/appointments/{booked.json()['appointment']['id']}"
    listed = f"/api/appointments?site={body['site']}&from={WINDOW['from']}&to=2031-06-04T00:00:00Z"
    answers = [
        booked,
        await http.get(one, headers=bearer(key_of["read"])),
        await http.get(listed, headers=bearer(key_of["read"])),
        await http.delete(one, headers=bearer(key_of["cancel"])),
    ]
    assert [answer.status_code for answer in answers] == [201, 200, 200, 200]
    assert not [answer.text for answer in answers if "canary" in answer.text]
    shown = await http.get(one, headers=bearer(key_of["all"]))
    appointment = shown.json()["appointment"]
    assert (appointment["patientName"], appointment["contact"]) == ("Zoe-canary", "canary@example.org")


async def amended_by(http: httpx.AsyncClient, key_of: dict[str, str], by: str, **what: str) -> int:
    """Amend a booking by a key; return the status."""
    booked = await book(http, key_of["all"], fresh("Zoe"))
    one = f"/api/appointments/{booked.json()['appointment']['id']}"
    return (await http.patch(one, json=what, headers=bearer(key_of[by]))).status_code


async def test_amendment_needs_the_scope_of_its_field(
    http: httpx.AsyncClient, key_of: dict[str, str]
) -> None:
    """A name needs `names`, an attendance `move`, and both need both scopes."""
    both = {"patientName": "Ada", "attendance": "missed"}
    assert await amended_by(http, key_of, "names", patientName="Ada") == 200
    assert await amended_by(http, key_of, "move", attendance="missed") == 200
    assert await amended_by(http, key_of, "all", **both) == 200
    for by, what in (
        ("move", {"patientName": "Ada"}),
        ("names", {"attendance": "missed"}),
        ("move", both),
        ("names", both),
        ("read", {"attendance": "missed"}),
    ):
        assert await amended_by(http, key_of, by, **what) == 403


async def test_key_of_a_site_is_confined_to_it(
    http: httpx.AsyncClient, closed: Stack, key_file: KeyFile, key_of: dict[str, str]
) -> None:
    """Commands in another site are 403, appointments of another site do not exist, live streams included."""
    token = await live(closed, key_file, *ALL_SCOPES, sites=["clinic-2"])
    elsewhere = fresh("Ada")
    booked = await book(http, key_of["all"], elsewhere)
    one = f"/api/appointments/{booked.json()['appointment']['id']}"
    of_site = {**WINDOW, "site": elsewhere["site"]}
    headers = bearer(token)
    forbidden = [
        await book(http, token, fresh("Ada")),
        await book(http, token, {**fresh("Ada"), "site": None}),
        await http.post("/api/hold-appointment", json=fresh("Ada"), headers=headers),
        await http.get("/api/slots", params=of_site, headers=headers),
        await http.get("/api/slots", params=WINDOW, headers=headers),
        await http.get("/api/appointments", params=of_site, headers=headers),
        await http.get("/api/live", params=of_site, headers=headers),
        await http.get("/api/live", params=WINDOW, headers=headers),
    ]
    assert [answer.status_code for answer in forbidden] == [403] * len(forbidden)
    unnamed = [answer for answer in forbidden if answer.json() == {"error": NOT_DEFAULT}]
    assert [forbidden.index(answer) for answer in unnamed] == [1, 4, 7]
    assert {answer.json()["error"] for answer in forbidden if answer not in unnamed} == {NOT_THIS}
    hidden = [
        await http.get(one, headers=headers),
        await http.get(f"{one}/history", headers=headers),
        await http.patch(one, json={"slot": fresh()["slot"]}, headers=headers),
        await http.delete(one, headers=headers),
    ]
    assert [answer.status_code for answer in hidden] == [404] * len(hidden)
    own = await book(http, token, {**fresh("Ada"), "site": "clinic-2"})
    assert own.status_code == 201
    assert (await http.get(one, headers=bearer(key_of["all"]))).json()["appointment"]["status"] == "booked"


async def test_webhooks_of_other_sites_are_hidden(
    http: httpx.AsyncClient, closed: Stack, key_file: KeyFile, key_of: dict[str, str]
) -> None:
    """A key of a site makes, lists and deletes webhooks of it alone, from any host."""
    url = "https://example.com/hook"
    wait_until(
        lambda: (
            httpx.get(f"{closed.url}/api/webhooks", headers=bearer(key_of["webhooks"])).status_code == 200
        ),
        "webhooks are set up",
    )
    token = await live(closed, key_file, "webhooks", sites=["clinic-2"])
    for body, error in (
        ({"url": url}, "The key does not permit all sites: send a site"),
        ({"url": url, "site": "clinic-1"}, NOT_THIS),
        ({"url": url, "site": "default"}, NOT_DEFAULT),
    ):
        refused = await http.post("/api/webhooks", json=body, headers=bearer(token))
        assert (refused.status_code, refused.json()) == (403, {"error": error})
    proxied = {"Host": "booking.example.org", "X-Forwarded-For": "192.0.2.1"}
    listed = await http.get("/api/webhooks", headers=bearer(token) | proxied)
    assert (listed.status_code, listed.json()) == (200, {"webhooks": []})


async def test_revoked_key_is_refused_within_two_seconds(
    http: httpx.AsyncClient, closed: Stack, key_file: KeyFile
) -> None:
    """The running gateway reads the file again; a booking with the revoked key is refused."""
    token = await live(closed, key_file, "book")
    assert (await book(http, token, fresh("Ada"))).status_code == 201
    key_file.keys.remove(key_file.of(token))
    key_file.write()
    wait_until(
        lambda: httpx.get(f"{closed.url}/api/grid", headers=bearer(token)).status_code == 401,
        "the key is revoked",
        seconds=2,
    )
    assert (await book(http, token, fresh("Ada"))).status_code == 401


async def test_key_is_in_no_answer_and_no_log(
    http: httpx.AsyncClient, closed: Stack, key_of: dict[str, str]
) -> None:
    """A key at a wrong place is refused without an echo, and no log line of any process has it."""
    token, wrong = key_of["all"], "sk_canary_canary-canary-canary-canary-canary-canary-c"
    answers = [
        await http.get("/api/grid", params={"api_key": token}, headers=bearer(token)),
        await http.get("/api/slots", params={**WINDOW, "access_token": token}, headers=bearer(token)),
        await http.get("/api/live", params={**WINDOW, "key": token}, headers=bearer(token)),
        await http.get("/api/webhooks", params={"key": token}, headers=bearer(token)),
        await http.get(f"/api/grid?{token}", headers=bearer(token)),
        await http.post(f"{BOOK}?key={token}", json=fresh("Ada"), headers=bearer(token)),
        await http.post(BOOK, json={**fresh("Ada"), token: 1}, headers=bearer(token)),
        await http.post(BOOK, json={**fresh("Ada"), "key": token}, headers=bearer(token)),
        await http.get(f"/api/appointments/{token}", headers=bearer(token)),
        await http.get(f"/api/{token}", headers=bearer(wrong)),
        await http.get(f"/{token}", headers=bearer(wrong)),
        await http.get("/api/grid", headers={"Authorization": wrong}),
        await http.get("/api/grid", headers=[("Authorization", f"Bearer {token}")] * 2),
    ]
    assert [answer.status_code for answer in answers] == [400] * 8 + [404, 401, 404, 401, 401]
    secret = token.split("_")[2]
    for answer in answers:
        shown = answer.text + str(answer.headers)
        assert secret not in shown
        assert "canary" not in shown
    for service in closed.services:
        assert secret not in service.log
        assert "canary" not in service.log
        assert not [each for each in key_of.values() if each.split("_")[2] in service.log]


async def test_control_gateway_without_the_check_of_scopes_lets_a_small_key_cancel(
    servers: Servers, tmp_path: Path
) -> None:
    """The matrix can fail: without `Identified.require`, a key that may only read cancels."""
    keys = KeyFile(tmp_path / "keys.json")
    token = keys.new("read")
    with servers.new_stack(API_KEYS_FILE=str(keys.path)) as stack:
        stack.start_gateway(without="no_scopes")
        stack.start("booking_worker")
        stack.start("hold_worker")
        stack.wait_ready()
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
            booked = await book(client, token, fresh("Ada"))
            assert booked.status_code == 201
            one = f"/api/appointments/{booked.json()['appointment']['id']}"
            assert (await client.delete(one, headers=bearer(token))).status_code == 200
            assert (await client.get(one)).status_code == 401


async def test_control_gateway_without_identification_answers_every_caller(
    servers: Servers, tmp_path: Path
) -> None:
    """The other matrix can fail too: without identification, no key is needed."""
    keys = KeyFile(tmp_path / "keys.json")
    with servers.new_stack(API_KEYS_FILE=str(keys.path)) as stack:
        stack.start_gateway(without="no_identification")
        stack.start("booking_worker")
        stack.start("hold_worker")
        stack.wait_ready()
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
            assert (await client.post(BOOK, json=fresh("Ada"))).status_code == 201


@pytest.mark.parametrize("more", [{}, {"ALLOW_ANONYMOUS": "true"}], ids=["closed", "open"])
def test_gateway_without_keys_starts_on_another_address_only_if_that_is_meant(
    servers: Servers, more: dict[str, str]
) -> None:
    """Without ALLOW_ANONYMOUS it ends with 1 and one line that names both variables."""
    with servers.new_stack(HOST="0.0.0.0", **more) as stack:  # noqa: S104
        gateway = stack.start_gateway()
        if more:
            wait_until(lambda: httpx.get(f"{stack.url}/livez").status_code == 200, "the gateway serves")
            return
        assert gateway.wait() == 1
        line = gateway.log.strip()
        stack.services.clear()
    assert line.startswith("API_KEYS_FILE: ")
    assert "ALLOW_ANONYMOUS=true" in line
    assert "\n" not in line
