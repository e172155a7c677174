"""The guard against URLs that lead into the private network."""

import socket

import httpx
import pytest

from gateway.webhooks.addresses import PrivateAddress, check_url, is_public, resolve
from gateway.webhooks.delivery import GuardedTransport
from shared.contract.errors import InvalidRequest

PUBLIC = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"]
PRIVATE = [
    *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1"),  # noqa: S104
    *("::", "::1", "fe80::1", "fe80::1%1", "fc00::1", "ff02::1", "2001:db8::1"),
    *("fec0::1", "168.63.129.16", "::ffff:168.63.129.16"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_is_allowed(address: str) -> None:
    """An address on the internet is public, also an IPv4 address mapped into IPv6."""
    assert is_public(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_address_that_is_not_on_the_internet_is_refused(address: str) -> None:
    """Private, loopback, link-local, shared, multicast, reserved and translated addresses are not public."""
    assert not is_public(address)


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "::1"])
async def test_every_spelling_of_a_private_address_is_refused(host: str) -> None:
    """The guard judges what a host resolves to, not how it is written."""
    with pytest.raises(PrivateAddress):
        await resolve(host, 443, allow_private=False)


class Names:
    """A name server that gives one answer after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
        self.asked = 0
        self._answers = answers
        monkeypatch.setattr(socket, "getaddrinfo", self._answer)

    def _answer(self, _host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        addresses = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]


async def test_host_with_one_private_address_among_others_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """All addresses of a host must be public."""
    Names(monkeypatch, ["8.8.8.8", "10.0.0.1"])
    with pytest.raises(InvalidRequest, match="url must lead to a public address"):
        await check_url("https://example.org/", allow_private=False)


async def test_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is resolved once per delivery, and the connection has the URL's name and the checked address."""
    names, connected = Names(monkeypatch, ["8.8.8.8"], ["127.0.0.1"]), []

    async def connect(_self: object, request: httpx.Request) -> httpx.Response:
        connected.append((request.url.host, request.extensions["sni_hostname"], request.headers["host"]))
        return httpx.Response(204)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", connect)
    async with httpx.AsyncClient(transport=GuardedTransport(15, allow_private=False)) as client:
        await client.post("https://example.org:8443/hook")
        with pytest.raises(PrivateAddress):
            await client.post("https://example.org:8443/hook")

    assert connected == [("8.8.8.8", "example.org", "example.org:8443")]
    assert names.asked == 2


async def test_http_url_gets_nothing_while_private_addresses_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An http URL that was allowed when the webhook was created gets nothing once that is over."""
    names = Names(monkeypatch, ["8.8.8.8"])
    async with httpx.AsyncClient(transport=GuardedTransport(15, allow_private=False)) as client:
        with pytest.raises(PrivateAddress):
            await client.post("http://example.org/")
    assert names.asked == 0


async def test_next_address_is_tried_if_one_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with an address that refuses connections is reached at its next one."""
    Names(monkeypatch, ["8.8.8.8", "8.8.4.4"])

    async def connect(_self: object, request: httpx.Request) -> httpx.Response:
        if request.url.host == "8.8.8.8":
            raise httpx.ConnectError("refused")
        return httpx.Response(204)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", connect)
    async with httpx.AsyncClient(transport=GuardedTransport(15, allow_private=False)) as client:
        assert (await client.post("https://example.org/")).status_code == 204
