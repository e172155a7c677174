"""The network that counts as one client."""

import pytest

from gateway.access.addresses import Addresses
from shared.process.gateway_settings import AccessSettings
from shared.process.settings import Misconfigured, load

PROXIES = "10.0.0.0/8, fd00::/8"


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("", "unknown"),
    ],
)
def test_client_is_an_ipv4_address_or_a_64_of_ipv6(peer: str, network: str) -> None:
    """All addresses of one /64 are one client; mapped IPv4 addresses are IPv4."""
    assert Addresses().network_of(peer, None) == network


def test_header_is_ignored_without_trusted_proxies() -> None:
    """A client cannot choose its address by a header."""
    assert Addresses().network_of("203.0.113.7", "198.51.100.1") == "203.0.113.7"


@pytest.mark.parametrize(
    ("peer", "header", "network"),
    [
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.2.2.2", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6,  [2001:db8::1]:443", "2001:db8::/64"),
        ("10.0.0.1", "198.51.100.1:5678", "198.51.100.1"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
        ("10.0.0.1", "rubbish", "10.0.0.1"),
        ("10.0.0.1", "10.3.3.3", "10.3.3.3"),
        ("fd00::1", "198.51.100.1", "198.51.100.1"),
    ],
)
def test_latest_address_that_no_trusted_proxy_has_is_the_client(peer: str, header: str, network: str) -> None:
    """Addresses before it are the client's own text, which it may forge."""
    assert Addresses(AccessSettings(trusted_proxies=PROXIES).proxies).network_of(peer, header) == network


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "0.0.0.0/0"),
        ("TRUSTED_PROXIES", "proxy.example"),
        ("ALLOWED_ORIGINS", "clinic.example"),
        ("ALLOWED_ORIGINS", "https://clinic.example/"),
        ("ALLOWED_ORIGINS", "*"),
        ("RATE_PER_CLIENT", "many"),
        ("RATE_PER_CLIENT", "0/minute"),
    ],
)
def test_wrong_setting_stops_the_start(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """The error names the variable."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(Misconfigured, match=variable):
        load(AccessSettings)
