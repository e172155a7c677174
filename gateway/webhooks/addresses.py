"""Guards against URLs that lead into the private network (server-side request forgery).

A name is resolved once per connection, and the connection goes to an address that was checked, so a second
answer of the name server (DNS rebinding) changes nothing.
"""

import asyncio
import socket
import threading
from concurrent.futures import Future
from ipaddress import IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from shared.contract.errors import InvalidRequest

RESOLVE_SECONDS = 5.0
PORTS = {"https": 443, "http": 80}
_UNDER_WAY: dict[tuple[str, int], Future[list[str]]] = {}
_AZURE_HOST = "168.63.129.16"
"""A public address that leads to the host of a virtual machine in Azure."""
# Networks whose addresses contain an IPv4 address that a gateway would connect to: NAT64 and 6to4.
_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"), IPv6Network("2002::/16"))


class PrivateAddress(Exception):
    """A host has an address that is not public, or a URL is not https."""


def is_public(text: str) -> bool:
    """Return whether an IP address belongs to a host on the internet.

    Private, loopback, link-local, shared (100.64.0.0/10), multicast, reserved and unspecified ones do not.
    """
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return is_public(str(address.ipv4_mapped))
        if address.is_site_local or any(address in network for network in _TRANSLATED):
            return False
    if text == _AZURE_HOST:
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


async def resolve(host: str, port: int, *, allow_private: bool) -> list[str]:
    """Return the addresses of a host.

    Raises:
        PrivateAddress: one of them is not public.
        OSError: the name cannot be resolved.
    """
    found = _UNDER_WAY.get((host, port))
    if found is None:
        found = _UNDER_WAY[host, port] = Future()
        found.set_running_or_notify_cancel()  # so that callers that give up leave it to the others
        threading.Thread(target=_look_up, args=(host, port, found), daemon=True).start()
    addresses = await asyncio.wrap_future(found)
    if not allow_private and not all(map(is_public, addresses)):
        raise PrivateAddress
    return addresses


def _look_up(host: str, port: int, found: Future[list[str]]) -> None:
    """Ask the name server, in a thread of this host alone.

    In a pool, the lookups of a host whose name server hangs would take all threads, and delay every other
    host and the end of the process.
    """
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        del _UNDER_WAY[host, port]
        found.set_exception(error)
    else:
        del _UNDER_WAY[host, port]
        found.set_result(list(dict.fromkeys(str(entry[4][0]) for entry in entries)))


async def check_url(url: str, *, allow_private: bool) -> None:
    """Refuse a URL to which nothing may be delivered.

    Raises:
        InvalidRequest: it is not https, its host is unknown, or an address of its host is not public.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    except ValueError:
        raise InvalidRequest("url must have a valid host and port") from None
    if parts.scheme != "https" and not allow_private:
        raise InvalidRequest("url must begin with https://")
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            await resolve(host, port, allow_private=allow_private)
    except PrivateAddress:
        raise InvalidRequest("url must lead to a public address") from None
    except (OSError, UnicodeError):  # a TimeoutError is an OSError
        raise InvalidRequest("url must have a host that can be resolved") from None
