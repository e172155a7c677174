"""Settings of a gateway: its address, its pages, its callers and its webhooks."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from shared.process.settings import Misconfigured, Port, Settings, is_loopback, needs_tls
from shared.process.tls import check_server_certificate

ORIGIN = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")
RATE = re.compile(r"[1-9][0-9]{0,6}/(second|minute|hour|day)")
PAGE_KEY = re.compile(r"pk_[A-Za-z0-9-]+_[A-Za-z0-9_-]+")
Network = IPv4Network | IPv6Network


def _checked_page_key(key: str) -> str:
    """Refuse a secret key: every visitor of a page can read this one."""
    if key and not PAGE_KEY.fullmatch(key):
        raise ValueError("must be a publishable key: pk_...")
    return key


class GatewaySettings(Settings):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 3000
    share_port: bool = False
    health_port: Port = 0
    live_streams_max: Annotated[int, Field(ge=0, le=100_000)] = 1000
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    allowed_hosts: str = ""
    page_key: Annotated[str, AfterValidator(_checked_page_key)] = ""
    demo_pages: bool = False

    @model_validator(mode="after")
    def _certificate_is_usable(self) -> "GatewaySettings":
        check_server_certificate("TLS", self.tls_cert_file, self.tls_key_file)
        return self

    @property
    def hosts(self) -> frozenset[bytes]:
        """The names that the header `Host` of a request may have; empty: any."""
        names = self.allowed_hosts.split(",")
        return frozenset(name.strip().lower().encode() for name in names) - {b""}


def _shown_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be the address at which others reach the gateway: https://clinic.example")
    return url.rstrip("/")


class PublicSettings(Settings):
    """The address of the gateway for callers outside: for links, and for signatures of text messages."""

    public_url: Annotated[str, AfterValidator(_shown_url)] | None = None


class WebhookSettings(Settings):
    webhooks_allow_private: bool = False
    webhooks_timeout_seconds: Annotated[float, Field(ge=1, le=60, allow_inf_nan=False)] = 15
    webhooks_first_retry_seconds: Annotated[float, Field(ge=0.01, le=3600, allow_inf_nan=False)] = 5


def _parts(text: str) -> list[str]:
    return [part for part in map(str.strip, text.split(",")) if part]


def _checked_networks(text: str) -> str:
    try:
        if not all(ip_network(part).prefixlen for part in _parts(text)):
            raise ValueError
    except ValueError:
        raise ValueError("must be IP addresses or networks, separated by commas") from None
    return text


def _checked_origins(text: str) -> str:
    if not all(map(ORIGIN.fullmatch, _parts(text))):
        raise ValueError("must be origins such as https://clinic.example, separated by commas")
    return text


def _checked_rate(text: str) -> str:
    if not RATE.fullmatch(text):
        raise ValueError("must be a rate such as 600/minute (second, minute, hour, day)")
    return text


class AccessSettings(Settings):
    api_keys_file: Path | None = None
    allow_anonymous: bool = False
    jwks_file: Path | None = None
    jwks_url: Annotated[str, AfterValidator(needs_tls)] | None = None
    jwt_audience: str | None = None
    jwt_issuer: str | None = None
    link_keys_file: Path | None = None
    allowed_origins: Annotated[str, AfterValidator(_checked_origins)] = ""
    trusted_proxies: Annotated[str, AfterValidator(_checked_networks)] = ""
    rate_per_client: Annotated[str, AfterValidator(_checked_rate)] = "600/minute"
    holds_per_client: Annotated[int, Field(ge=0, le=1_000_000)] = 120
    bookings_per_client_a_day: Annotated[int, Field(ge=0, le=1_000_000)] = 360

    @property
    def origins(self) -> frozenset[str]:
        """The origins of web pages that may use the API from a browser."""
        return frozenset(_parts(self.allowed_origins))

    @property
    def proxies(self) -> tuple[Network, ...]:
        """The proxies that are believed about the address of a client."""
        return tuple(ip_network(part) for part in _parts(self.trusted_proxies))

    @property
    def has_keys(self) -> bool:
        """Whether callers need a key."""
        return any((self.api_keys_file, self.jwks_file, self.jwks_url))

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.allow_anonymous and self.has_keys:
            raise ValueError("ALLOW_ANONYMOUS must not be true if keys are set")
        if self.jwks_file and self.jwks_url:
            raise ValueError("JWKS_FILE and JWKS_URL must not both be set")
        if (self.jwks_file or self.jwks_url) and not (self.jwt_audience and self.jwt_issuer):
            raise ValueError("JWT_AUDIENCE and JWT_ISSUER must be set with JWKS_FILE or JWKS_URL")
        return self

    def check_host(self, host: str) -> None:
        """Refuse to be open to other hosts, unless that is meant.

        Raises:
            Misconfigured
        """
        if not (self.has_keys or self.allow_anonymous or is_loopback(host)):
            raise Misconfigured(
                "API_KEYS_FILE: must be set if HOST is not on loopback: slotkeeper-keys makes the file;"
                " ALLOW_ANONYMOUS=true opens the service to every caller who reaches it"
            )
