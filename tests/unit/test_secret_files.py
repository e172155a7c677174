"""Secrets as files: `<variable>_FILE` names a file with the value of a variable."""

from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from shared.process import settings
from shared.process.concerns import CONCERNS
from shared.process.message_settings import NotifySettings, SmsSettings
from shared.process.secret_files import SECRET

VARIABLES: dict[str, tuple[type[BaseSettings], str]] = {
    "MONGO_URI": (settings.MongoSettings, "mongodb://ada:zebra@one/booking"),
    "REDIS_URL": (settings.RedisSettings, "redis://ada:zebra@one"),
    "NATS_URL": (settings.NatsSettings, "nats://ada:zebra@one:4222"),
    "SMS_AUTH_TOKEN": (SmsSettings, "zebra"),
    "SMS_SECRET": (SmsSettings, "zebra" * 8),
    "SMTP_URL": (NotifySettings, "smtps://ada:zebra@one"),
}

PUBLIC = {"jwks_url", "public_url", "twilio_url"}
"""Settings whose values are no secrets."""


@pytest.fixture(autouse=True)
def _no_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("MAIL_FROM", "desk@clinic.example")


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("variable", VARIABLES)
def test_file_holds_the_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, end: str
) -> None:
    """The content counts as the variable's value, without the line end that editors add."""
    concern, value = VARIABLES[variable]
    (tmp_path / "secret").write_text(value + end, newline="")
    monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / "secret"))
    assert getattr(settings.load(concern), variable.lower()) == value


@pytest.mark.parametrize("variable", VARIABLES)
def test_variable_and_file_together_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    """Two values of one setting are a mistake, and the line names both variables."""
    concern, value = VARIABLES[variable]
    (tmp_path / "secret").write_text(value)
    monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv(variable, value)
    _refused(concern, f"{variable}_FILE: must not be set, because {variable} is")


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_unusable_file_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    """A file that is absent, empty or no text stops the process."""
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    monkeypatch.setenv("MONGO_URI_FILE", str(tmp_path / "secret"))
    _refused(settings.MongoSettings, "MONGO_URI_FILE: ")


def test_wrong_content_is_refused_without_being_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A value of a file is checked like one of the environment."""
    (tmp_path / "secret").write_text("postgres://ada:zebra@one")
    monkeypatch.setenv("MONGO_URI_FILE", str(tmp_path / "secret"))
    _refused(settings.MongoSettings, "MONGO_URI: must begin with mongodb://")


def test_every_url_may_be_a_file() -> None:
    """Every setting that may contain a password is marked as a secret: all URLs and URIs."""
    marked = {
        name.upper()
        for concern in CONCERNS
        for name, field in concern.model_fields.items()
        if SECRET in field.metadata
    }
    urls = {
        name.upper()
        for concern in CONCERNS
        for name in concern.model_fields
        if name.endswith(("_url", "_uri", "password", "secret", "token")) and name not in PUBLIC
    }
    assert marked == urls == set(VARIABLES)


def _refused(concern: type[BaseSettings], beginning: str) -> None:
    with pytest.raises(settings.Misconfigured) as refused:
        settings.load(concern)
    assert str(refused.value).startswith(beginning)
    assert "zebra" not in str(refused.value)
