"""The settings of text messages: what belongs together, and what one line says if it is wrong."""

from pathlib import Path

import pytest

from gateway.sms.lines import read_lines
from gateway.sms.options import SmsOptions, sms_options
from shared.process.gateway_settings import AccessSettings, PublicSettings
from shared.process.message_settings import SmsSettings
from shared.process.settings import EventSettings, Misconfigured, load

SECRET = "0123456789abcdef0123456789abcdef"
WHOLE = {"SMS_AUTH_TOKEN": "token", "SMS_SECRET": SECRET, "PUBLIC_URL": "https://clinic.example/"}


def loaded(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> SmsOptions | None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return sms_options(load(SmsSettings), load(PublicSettings), load(EventSettings), load(AccessSettings))


def test_without_settings_there_are_no_text_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers and a secret alone open nothing."""
    assert loaded(monkeypatch, {"SMS_SECRET": SECRET, "SMS_NUMBERS": "+4940555010=harbour:de"}) is None


def test_secrets_may_lie_in_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`SMS_AUTH_TOKEN_FILE` and `SMS_SECRET_FILE` name the files; the URL has no slash at its end."""
    (tmp_path / "token").write_text("token\n")
    (tmp_path / "secret").write_text(SECRET)
    files = {
        "SMS_AUTH_TOKEN_FILE": str(tmp_path / "token"),
        "SMS_SECRET_FILE": str(tmp_path / "secret"),
    }
    options = loaded(monkeypatch, {**files, "PUBLIC_URL": WHOLE["PUBLIC_URL"]})
    assert options
    assert (options.auth_token, options.public_url) == ("token", "https://clinic.example")
    assert not options.simulator


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"SMS_SECRET": ""}, "SMS_SECRET: must be set with SMS_AUTH_TOKEN"),
        ({"SMS_SECRET": "short"}, "SMS_SECRET: "),
        ({"PUBLIC_URL": ""}, "PUBLIC_URL: must be set with SMS_AUTH_TOKEN"),
        ({"PUBLIC_URL": "clinic.example"}, "PUBLIC_URL: must be the address"),
        ({"PUBLIC_URL": "https://clinic.example?a=b"}, "PUBLIC_URL: must be the address"),
        ({"SMS_NUMBERS": "harbour"}, "SMS_NUMBERS: must be such as"),
    ],
)
def test_settings_that_do_not_fit_stop_the_gateway(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, str], line: str
) -> None:
    """One line names the variable, and no secret."""
    with pytest.raises(Misconfigured) as caught:
        loaded(monkeypatch, {**WHOLE, **change})
    assert str(caught.value).startswith(line)
    assert SECRET not in str(caught.value)


def test_numbers_have_site_language_and_service() -> None:
    """A number may be written as people write it."""
    lines = read_lines("+49 40 555-010 = harbour:de:check-up , +15551234567=downtown:en,")
    assert [(line.number, line.site, line.phrases.code, line.service) for line in lines.values()] == [
        ("+4940555010", "harbour", "de", "check-up"),
        ("+15551234567", "downtown", "en", None),
    ]
    assert read_lines("") == {}


@pytest.mark.parametrize(
    "text",
    [
        "040555=a:de",
        "+4315550100",
        "+4940555010=a",
        "+4940555010=a:fr",
        "+4940555010=a b:de",
        "+4940555010=a:de:",
        "+4940555010=a:de:b:c",
        "+4940555010=a:de,+49 40 555010=b:en",
    ],
)
def test_wrong_numbers_are_refused_with_an_example(text: str) -> None:
    """A wrong entry stops the start; the line has an example and not the text."""
    with pytest.raises(Misconfigured, match=r"^SMS_NUMBERS: must be such as") as caught:
        read_lines(text)
    assert text not in str(caught.value)
