"""The address of the client behind a request, and the network that shares one limit."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# A provider gives a household or a server a /64, so all addresses in it count as one client.
IPV6_PREFIX = 64
UNKNOWN = "unknown"


class Addresses:
    """Finds the client's address. Only the proxies in `trusted` are believed about other addresses."""

    def __init__(self, trusted: Sequence[Network] = ()) -> None:
        self._trusted = trusted

    def network_of(self, peer: str, forwarded_for: str | None) -> str:
        """Return the client's network: an IPv4 address, or the /64 of an IPv6 address.

        Args:
            peer: the address of the connection.
            forwarded_for: the header `X-Forwarded-For`. Each proxy has appended the address that it saw.
        """
        if not self._trusted or forwarded_for is None:
            return _network_of(peer)
        hops = [peer, *reversed(forwarded_for.split(","))]
        client = peer
        for hop in hops:
            address = _read(hop)
            if address is None:  # a proxy appends addresses only: the rest is the client's own text
                break
            client = hop.strip()
            if not any(address in network for network in self._trusted):
                break
        return _network_of(client)


@lru_cache(maxsize=4096)
def _network_of(text: str) -> str:
    address = _read(text)
    if address is None:
        return UNKNOWN
    if isinstance(address, IPv6Address):
        return str(ip_network((int(address), IPV6_PREFIX), strict=False))
    return str(address)


def _read(text: str) -> Address | None:
    """Return an address without its port; an IPv4 address that is mapped into IPv6 is an IPv4 address."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
