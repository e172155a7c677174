"""Read settings from the environment: one small class per concern. An error names the variable."""

import re
import ssl
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from shared.contract.deadline import LONGEST_TIMEOUT_SECONDS
from shared.contract.fields import DAY_MINUTES
from shared.process.nats_access import NatsAccess, read_access
from shared.process.nats_options import checked_servers
from shared.process.secret_files import SECRET, SecretFiles, UnusableSecret
from shared.process.tls import check_server_certificate, client_context

# Replies are sent a little after deadlines: a driver has to notice the time-out, and the last commands arrive
# after SIGTERM.
DRAIN_MARGIN_SECONDS = 3.0
STOP_MARGIN_SECONDS = 2.0
Network = IPv4Network | IPv6Network
ORIGIN = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")
RATE = re.compile(r"[1-9][0-9]{0,6}/(second|minute|hour|day)")
PAGE_KEY = re.compile(r"pk_[A-Za-z0-9-]+_[A-Za-z0-9_-]+")
Port = Annotated[int, Field(ge=0, le=65535)]


def _scheme(*schemes: str) -> AfterValidator:
    def check(url: str) -> str:
        if not url.startswith(schemes):
            raise ValueError(f"must begin with {' or '.join(schemes)}")
        return url

    return AfterValidator(check)


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True, env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, SecretFiles(settings_cls), env_settings


def _access_file(path: Path) -> Path:
    read_access(path)
    return path


class NatsSettings(_Settings):
    nats_url: Annotated[str, SECRET, AfterValidator(checked_servers)] = "nats://localhost:4222"
    nats_ca_file: Path | None = None
    nats_cert_file: Path | None = None
    nats_key_file: Path | None = None
    nats_access_file: Annotated[Path, AfterValidator(_access_file)] | None = None
    # At least a second: an attempt, a third of it, must be longer than the skew between hosts' clocks.
    request_timeout_seconds: Annotated[
        float, Field(ge=1, le=LONGEST_TIMEOUT_SECONDS, allow_inf_nan=False)
    ] = 5

    @model_validator(mode="after")
    def _certificates_are_usable(self) -> "NatsSettings":
        self.tls()
        return self

    def tls(self) -> ssl.SSLContext | None:
        """Read the certificates; None if the URL alone decides about TLS."""
        return client_context("NATS", self.nats_ca_file, self.nats_cert_file, self.nats_key_file)

    @property
    def nats_access(self) -> NatsAccess | None:
        """The NATS user of this process; None in a deployment without accounts."""
        return read_access(self.nats_access_file) if self.nats_access_file else None

    @property
    def drain_seconds(self) -> float:
        """How long a stopping process may take to answer its commands in flight."""
        return self.request_timeout_seconds + DRAIN_MARGIN_SECONDS

    @property
    def stop_seconds(self) -> float:
        """How long after SIGTERM a supervisor may kill a process."""
        return self.drain_seconds + STOP_MARGIN_SECONDS


class MongoSettings(_Settings):
    mongo_uri: Annotated[str, SECRET, _scheme("mongodb://", "mongodb+srv://")] = (
        "mongodb://localhost:27017/booking"
    )


class RedisSettings(_Settings):
    redis_url: Annotated[
        str, SECRET, _scheme("redis://", "rediss://", "unix://", "redis+cluster://", "rediss+cluster://")
    ] = "redis://localhost:6379"


class HoldSettings(_Settings):
    soft_hold_seconds: Annotated[int, Field(ge=1, le=86_400)] = 300
    hold_max_seconds: Annotated[int, Field(ge=1, le=86_400)] = 900

    @model_validator(mode="after")
    def _cap_not_below_hold(self) -> "HoldSettings":
        if self.hold_max_seconds < self.soft_hold_seconds:
            raise ValueError("HOLD_MAX_SECONDS must not be less than SOFT_HOLD_SECONDS")
        return self


def _divides_a_day(minutes: int) -> int:
    if minutes and DAY_MINUTES % minutes:
        raise ValueError("must be 0, or divide 1440 (the minutes of a day)")
    return minutes


class GridSettings(_Settings):
    slot_minutes: Annotated[int, Field(ge=0, le=DAY_MINUTES), AfterValidator(_divides_a_day)] = 5


class EventSettings(_Settings):
    events_max_age_days: Annotated[int, Field(ge=1, le=3650)] = 30
    events_replicas: Annotated[int, Field(ge=1, le=5)] = 1
    audit_max_age_days: Annotated[int, Field(ge=1, le=3650)] = 365

    @property
    def max_age(self) -> timedelta:
        """How long JetStream keeps an event."""
        return timedelta(days=self.events_max_age_days)

    @property
    def audit_max_age(self) -> timedelta:
        """How long JetStream keeps the record of a change in the audit stream."""
        return timedelta(days=self.audit_max_age_days)


class RetentionSettings(_Settings):
    # 0: for ever.
    retain_names_days: Annotated[int, Field(ge=0, le=36_500)] = 0


class WebhookSettings(_Settings):
    webhooks_allow_private: bool = False
    webhooks_timeout_seconds: Annotated[float, Field(ge=1, le=60, allow_inf_nan=False)] = 15
    webhooks_first_retry_seconds: Annotated[float, Field(ge=0.01, le=3600, allow_inf_nan=False)] = 5


def _shown_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be the address at which others reach the gateway: https://clinic.example")
    return url.rstrip("/")


class PublicSettings(_Settings):
    """The address of the gateway for callers outside: for links, and for signatures of text messages."""

    public_url: Annotated[str, AfterValidator(_shown_url)] | None = None


class SmsSettings(_Settings):
    """Text messages. `sms_secret` makes the HMACs of phone numbers."""

    sms_auth_token: Annotated[str | None, SECRET] = None
    sms_secret: Annotated[str | None, SECRET, Field(min_length=32)] = None
    sms_numbers: str = ""
    demo_pages: bool = False


def _needs_tls(url: str) -> str:
    """Require https for another host: what it answers is believed, and what it is sent is secret."""
    parts = urlsplit(url)
    if parts.hostname and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
    ):
        return url
    raise ValueError("must begin with https://; http:// is for loopback only")


def _checked_quiet(text: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError("must be two times such as 21:00-08:00; equal times: never quiet")
    return text


def _checked_smtp(url: str | None) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    try:
        is_usable = parts.scheme in ("smtp", "smtps") and parts.hostname and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("must be such as smtps://user:password@mail.example, or smtp:// with STARTTLS")
    return url


class NotifySettings(_Settings):
    """How messages to patients leave. Settings of a site follow the default: `en,harbour=de`."""

    twilio_account_sid: Annotated[str, Field(pattern="^[A-Za-z0-9]{1,64}$")] | None = None
    twilio_url: Annotated[str, AfterValidator(_needs_tls)] = "https://api.twilio.com"
    sms_from: Annotated[str, Field(pattern=r"^[A-Za-z0-9 +=,_-]*$")] = ""
    smtp_url: Annotated[str | None, SECRET, AfterValidator(_checked_smtp)] = None
    mail_from: Annotated[str, Field(pattern=r"^[^@\s<>]+@[^@\s<>]+$")] | None = None
    quiet_hours: Annotated[str, AfterValidator(_checked_quiet)] = "21:00-08:00"
    notify_language: str = "en"
    notify_region: str = ""

    @property
    def has_provider(self) -> bool:
        """Whether messages can leave at all."""
        return self.twilio_account_sid is not None or self.smtp_url is not None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.smtp_url and not self.mail_from:
            raise ValueError("MAIL_FROM must be set with SMTP_URL")
        return self


class LogSettings(_Settings):
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"


def _checked_page_key(key: str) -> str:
    """Refuse a secret key: every visitor of a page can read this one."""
    if key and not PAGE_KEY.fullmatch(key):
        raise ValueError("must be a publishable key: pk_...")
    return key


class GatewaySettings(_Settings):
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


class AccessSettings(_Settings):
    api_keys_file: Path | None = None
    allow_anonymous: bool = False
    jwks_file: Path | None = None
    jwks_url: Annotated[str, AfterValidator(_needs_tls)] | None = None
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


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on is reachable from this host alone."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class WorkerSettings(_Settings):
    host: str = "127.0.0.1"
    worker_http_port: Port = 0


SettingsT = TypeVar("SettingsT", bound=BaseSettings)


class Misconfigured(Exception):
    """A process cannot start with its settings. The message names in one line what a person has to change."""


def load(settings: type[SettingsT]) -> SettingsT:
    """Read the settings of one concern from the environment.

    Raises:
        Misconfigured: a value is wrong. The message names the variable and does not contain the value.
    """
    try:
        return settings()
    except UnusableSecret as error:
        raise Misconfigured(str(error)) from None
    except ValidationError as error:
        first = error.errors()[0]
        variable = "_".join(str(part) for part in first["loc"]).upper()
        sentence = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        sentence = sentence.partition(", unable to parse")[0]
        raise Misconfigured(f"{variable}: {sentence}" if variable else sentence) from None


CONCERNS: tuple[type[_Settings], ...] = (
    NatsSettings,
    MongoSettings,
    RedisSettings,
    HoldSettings,
    GridSettings,
    EventSettings,
    RetentionSettings,
    WebhookSettings,
    PublicSettings,
    SmsSettings,
    NotifySettings,
    LogSettings,
    GatewaySettings,
    AccessSettings,
    WorkerSettings,
)
