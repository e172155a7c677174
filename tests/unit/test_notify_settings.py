"""The settings of messages to patients: what is wrong is named by its variable, without its value."""

import pytest
from nats.aio.client import Client

from gateway.notify.app import channels_of
from gateway.notify.mail import SmtpServer
from gateway.sms.numbers import NumberDigests
from gateway.sms.opt_outs import OptOuts
from shared.process import settings
from shared.process.message_settings import NotifySettings
from shared.process.settings import Misconfigured

MAIL = {"SMTP_URL": "smtp://mail.example", "MAIL_FROM": "desk@clinic.example"}
TEXTS = {"TWILIO_ACCOUNT_SID": "AC1", "SMS_AUTH_TOKEN": "token", "SMS_FROM": "+15550100000"}


@pytest.fixture
def opt_outs() -> OptOuts:
    return OptOuts(Client().jetstream(), NumberDigests("s" * 32))


def set_all(monkeypatch: pytest.MonkeyPatch, env: dict[str, str]) -> NotifySettings:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return settings.load(NotifySettings)


@pytest.mark.parametrize(
    ("env", "line"),
    [
        ({}, "SMTP_URL: must be set, or TWILIO_ACCOUNT_SID"),
        ({"SMTP_URL": "smtp://mail.example"}, "MAIL_FROM must be set with SMTP_URL"),
        ({"SMTP_URL": "canary"}, "SMTP_URL: must be such as smtps://"),
        ({"SMTP_URL": "smtp://m.example:canary"}, "SMTP_URL: must be such as smtps://"),
        ({"SMTP_URL": "http://m.example"}, "SMTP_URL: must be such as smtps://"),
        ({**MAIL, "MAIL_FROM": "canary"}, "MAIL_FROM: "),
        ({**MAIL, "MAIL_FROM": "canary <a@b.example>"}, "MAIL_FROM: "),
        ({"TWILIO_ACCOUNT_SID": "AC1"}, "TWILIO_ACCOUNT_SID: needs SMS_AUTH_TOKEN, SMS_SECRET"),
        ({**TEXTS, "SMS_FROM": ""}, "TWILIO_ACCOUNT_SID: needs SMS_AUTH_TOKEN, SMS_SECRET"),
        ({**TEXTS, "TWILIO_ACCOUNT_SID": "canary/../x"}, "TWILIO_ACCOUNT_SID: "),
        ({"QUIET_HOURS": "canary"}, "QUIET_HOURS: must be two times"),
        ({"QUIET_HOURS": "21:00-24:00"}, "QUIET_HOURS: must be two times"),
        ({"TWILIO_URL": "http://canary.example"}, "TWILIO_URL: must begin with https://"),
        ({**MAIL, "NOTIFY_LANGUAGE": "canary"}, "NOTIFY_LANGUAGE: must be of en, de"),
        ({**MAIL, "NOTIFY_LANGUAGE": "en,harbour=canary"}, "NOTIFY_LANGUAGE: must be of en, de"),
        ({**MAIL, "NOTIFY_REGION": "canary"}, "NOTIFY_REGION: must be of countries"),
    ],
)
def test_wrong_setting_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, opt_outs: OptOuts, env: dict[str, str], line: str
) -> None:
    """The process ends with one line that names the variable."""
    with pytest.raises(Misconfigured) as wrong:
        channels_of(set_all(monkeypatch, env), opt_outs)
    assert str(wrong.value).startswith(line)
    assert "canary" not in str(wrong.value)


def test_channel_that_is_not_set_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """E-mail alone needs nothing of text messages."""
    channels = channels_of(set_all(monkeypatch, MAIL), None)
    assert channels.mail is not None
    assert channels.sms is None


async def test_site_of_our_number_has_its_language(
    monkeypatch: pytest.MonkeyPatch, opt_outs: OptOuts
) -> None:
    """`SMS_NUMBERS` says it already; `NOTIFY_LANGUAGE` goes before it."""
    lines = {"SMS_NUMBERS": "+4940555010=harbour:de,+4940555011=north:de", "NOTIFY_LANGUAGE": "en,north=en"}
    channels = channels_of(set_all(monkeypatch, {**TEXTS, **lines}), opt_outs)
    assert [channels.languages.of(site) for site in ("harbour", "north", "south")] == ["de", "en", "en"]
    assert channels.sms is not None
    await channels.sms.close()


def test_server_is_read_from_its_url() -> None:
    """Ports have their defaults, and a password may have any character."""
    server = SmtpServer.parse("smtps://desk%40clinic:p%3Aw%2F@mail.example")
    assert (server.host, server.port, server.user, server.password, server.is_tls) == (
        *("mail.example", 465, "desk@clinic", "p:w/"),
        True,
    )
    assert SmtpServer.parse("smtp://127.0.0.1:2525").port == 2525
    assert "p:w/" not in repr(server)
