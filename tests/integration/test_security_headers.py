"""Headers that make browsers careful, and the names under which the gateway answers."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.breakable import start_gateway
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Stack, wait_until

BOOK = "/api/book-appointment"
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
EVERY_KIND: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "a hot call": ("POST", BOOK, {"json": True}, 201),
    "a refused hot call": ("POST", BOOK, {}, 415),
    "a call of FastAPI": ("GET", "/api/grid", {}, 200),
    "a refusal of FastAPI": ("GET", "/api/slots", {}, 400),
    "no route": ("GET", "/nothing", {}, 404),
    "another method": ("PUT", BOOK, {}, 405),
    "a HEAD": ("HEAD", "/livez", {}, 200),
    "text": ("GET", "/metrics", {}, 200),
    "a script": ("GET", "/docs/assets/swagger-ui-bundle.js", {}, 200),
    "a document": ("GET", "/openapi.json", {}, 200),
    "a body that is too large": ("POST", BOOK, {"content": b" " * 20_000}, 413),
}


@pytest.mark.parametrize("kind", EVERY_KIND)
async def test_response_has_the_security_headers(http: httpx.AsyncClient, kind: str) -> None:
    """A browser guesses no content type, sends no referrer, and runs nothing that comes as data."""
    method, path, sent, status = EVERY_KIND[kind]
    if "json" in sent:
        sent = {"json": fresh()}
    answer = await http.request(method, path, **sent)
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers.get_list("content-security-policy") == [DATA_POLICY]


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/asyncapi", "/asyncapi/"])
async def test_page_has_a_policy_of_its_own(http: httpx.AsyncClient, path: str) -> None:
    """A page loads from this gateway only, and no other page shows it in a frame."""
    answer = await http.get(path)
    (policy,) = answer.headers.get_list("content-security-policy")
    assert policy.startswith("default-src 'self'; script-src 'self'")
    assert "frame-ancestors 'none'" in policy
    scripts = policy.partition("script-src")[2].partition(";")[0]
    assert "unsafe" not in scripts
    assert ("'sha256-" in scripts) == ("<script>" in answer.text)
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.fixture(scope="module")
def named(servers: Servers) -> Iterator[Stack]:
    """Start a gateway with two names."""
    with servers.new_stack() as stack:
        start_gateway(stack, ALLOWED_HOSTS="Booking.example.org, [::1]")
        wait_until(lambda: httpx.get(f"{stack.url}/livez").status_code == 400, "the gateway serves")
        yield stack


@pytest.mark.parametrize(
    "host",
    ["booking.example.org", "BOOKING.example.org:443", "booking.example.org:", "[::1]", "[::1]:3000"],
)
def test_allowed_host_is_served(named: Stack, host: str) -> None:
    """The case of the name and the port make no difference."""
    assert httpx.get(f"{named.url}/livez", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.org",
        "booking.example.org.evil.example.org",
        "evil.example.org:booking.example.org",
        "booking.example.org@evil.example.org",
        "booking.example.org.",
        "127.0.0.1",
        "[::1",
        "*",
    ],
)
@pytest.mark.parametrize("path", ["/livez", BOOK, "/docs"])
def test_another_host_is_refused(named: Stack, host: str, path: str) -> None:
    """A page whose name leads here by DNS rebinding gets 400, which names the header, at every path."""
    method = "POST" if path == BOOK else "GET"
    answer = httpx.request(method, f"{named.url}{path}", headers={"Host": host})
    assert answer.status_code == 400
    assert answer.json() == {"error": "Host is none of the names of this gateway"}
    assert answer.headers["error-type"] == "InvalidRequest"


async def test_control_every_host_is_served_by_default(http: httpx.AsyncClient) -> None:
    """Control: without ALLOWED_HOSTS, a gateway on loopback answers any host."""
    answer = await http.get("/livez", headers={"Host": "evil.example.org"})
    assert answer.status_code == 200
