"""The webhook API answers callers of its own host only."""

import httpx
import pytest

from gateway.app import create_app
from gateway.http.middleware import RequestMiddleware
from shared.client.command_client import CommandClient
from shared.process.settings import NatsSettings


async def status_for(peer: str, **headers: str) -> int:
    """Return the status of a list of webhooks for a caller at an address; 503: allowed, but NATS is away."""
    app = create_app(NatsSettings())

    app.state.client = CommandClient("nats://127.0.0.1:1")  # never connected
    transport = httpx.ASGITransport(RequestMiddleware(app), client=(peer, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:3000") as client:
        return (await client.get("/api/webhooks", headers=headers)).status_code


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
async def test_caller_on_loopback_is_answered(peer: str) -> None:
    """A connection from this host is allowed."""
    assert await status_for(peer) == 503


@pytest.mark.parametrize("peer", ["192.168.1.5", "8.8.8.8", "fe80::1", "::ffff:10.0.0.1", "testclient", ""])
async def test_caller_on_another_host_is_refused(peer: str) -> None:
    """A connection from any other address gets 403."""
    assert await status_for(peer) == 403


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:80", "127.0.0.1:3000", "[::1]", "[::1]:3000"])
async def test_request_for_a_name_of_loopback_is_answered(name: str) -> None:
    """A request whose `Host` is a name of this host is allowed, on any port."""
    assert await status_for("127.0.0.1", Host=name) == 503


@pytest.mark.parametrize("name", ["booking.example.org", "localhost.example.org", "127.0.0.1.nip.io", ""])
async def test_request_for_another_name_is_refused(name: str) -> None:
    """A page whose name was made to resolve to loopback gets 403, and so does a proxy that keeps `Host`."""
    assert await status_for("127.0.0.1", Host=name) == 403


@pytest.mark.parametrize(
    "header", ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP"]
)
async def test_request_that_a_proxy_forwards_is_refused(header: str) -> None:
    """A request with a header that proxies add gets 403."""
    assert await status_for("127.0.0.1", **{header: "for=192.0.2.1"}) == 403
