"""Read settings from the environment: one small class per concern. An error names the variable."""

import ssl
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from shared.contract.deadline import LONGEST_TIMEOUT_SECONDS
from shared.contract.fields import DAY_MINUTES
from shared.process.nats_access import NatsAccess, read_access
from shared.process.nats_options import checked_servers
from shared.process.secret_files import SECRET, SecretFiles, UnusableSecret
from shared.process.tls import client_context

# Replies are sent a little after deadlines: a driver has to notice the time-out, and the last commands arrive
# after SIGTERM.
DRAIN_MARGIN_SECONDS = 3.0
STOP_MARGIN_SECONDS = 2.0
Port = Annotated[int, Field(ge=0, le=65535)]


def _scheme(*schemes: str) -> AfterValidator:
    def check(url: str) -> str:
        if not url.startswith(schemes):
            raise ValueError(f"must begin with {' or '.join(schemes)}")
        return url

    return AfterValidator(check)


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on is reachable from this host alone."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def needs_tls(url: str) -> str:
    """Require https for another host: what it answers is believed, and what it is sent is secret."""
    parts = urlsplit(url)
    if parts.hostname and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
    ):
        return url
    raise ValueError("must begin with https://; http:// is for loopback only")


class Settings(BaseSettings):
    """Settings of one concern, each from its variable or, if it is a secret, from a file."""

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


class NatsSettings(Settings):
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


class MongoSettings(Settings):
    mongo_uri: Annotated[str, SECRET, _scheme("mongodb://", "mongodb+srv://")] = (
        "mongodb://localhost:27017/booking"
    )


class RedisSettings(Settings):
    redis_url: Annotated[
        str, SECRET, _scheme("redis://", "rediss://", "unix://", "redis+cluster://", "rediss+cluster://")
    ] = "redis://localhost:6379"


class HoldSettings(Settings):
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


class GridSettings(Settings):
    slot_minutes: Annotated[int, Field(ge=0, le=DAY_MINUTES), AfterValidator(_divides_a_day)] = 5


class EventSettings(Settings):
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


class RetentionSettings(Settings):
    # 0: for ever.
    retain_names_days: Annotated[int, Field(ge=0, le=36_500)] = 0


class LogSettings(Settings):
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"


class WorkerSettings(Settings):
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
