"""E-mails leave over TLS, unless the mail server is on this host; a failure says nothing of the message."""

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from gateway.notify import mail as mail_module
from gateway.notify.contacts import Mailbox
from gateway.notify.mail import Mail, SmtpServer
from gateway.notify.providers import Message, Undeliverable, Unsent
from tests.integration.mailbox import MailServer, mail_server

TO = "canary@example.org"


async def send(server: MailServer, login: str = "", *, subject: str = "subject") -> None:
    url = server.url.replace("//", f"//{login}") if login else server.url
    mail = Mail(SmtpServer.parse(url), "desk@clinic.example", lambda: datetime.now(UTC))
    await mail.send(Message("id.1", "harbour", Mailbox(TO), "text", subject=subject))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat the server on loopback as one of another host."""
    monkeypatch.setattr(mail_module, "is_loopback", lambda _host: False)


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Return the context of a server, whose certificate this process trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


async def test_server_on_this_host_needs_no_tls() -> None:
    """A relay on loopback is reached in the clear: nobody is in between."""
    async with mail_server() as server:
        await send(server)
    assert server.with_tls == [False]


async def test_title_cannot_begin_another_header() -> None:
    """A title that is an encoded word with line ends is sent as text: the mail has no header of its own."""
    async with mail_server() as server:
        await send(server, subject="Booked: =?utf-8?q?x=0d=0aBcc:_eve=40example.org=0d=0a?=")
    (mail,) = server.received
    assert (mail["Bcc"], mail["To"]) == (None, TO)
    assert mail["Subject"].startswith("Booked: = ?utf-8?q?x=0d=0aBcc:")


async def test_server_elsewhere_is_upgraded_to_tls(elsewhere: None, tls: ssl.SSLContext) -> None:
    """STARTTLS is used, and the certificate is checked."""
    async with mail_server(tls_context=tls) as server:
        await send(server)
    assert server.with_tls == [True]


async def test_server_elsewhere_without_tls_gets_nothing(elsewhere: None) -> None:
    """Who is in between could have removed the offer: the message is not sent."""
    async with mail_server() as server:
        with pytest.raises(Unsent) as failure:
            await send(server)
    assert not server.received
    assert not isinstance(failure.value, Undeliverable)


async def test_server_with_an_untrusted_certificate_gets_nothing(
    elsewhere: None, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upgrade fails, and the attempt may be repeated."""
    monkeypatch.delenv("SSL_CERT_FILE")
    async with mail_server(tls_context=tls) as server:
        with pytest.raises(Unsent) as failure:
            await send(server)
    assert not server.received
    assert not isinstance(failure.value, Undeliverable)


async def test_server_is_logged_in_to() -> None:
    """A wrong password is mended by an operator: the message is kept for later."""

    def authenticate(_server: SMTP, _session: Any, _envelope: Any, _how: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        return AuthResult(success=data.password == b"secret", handled=False)

    async with mail_server(authenticator=authenticate, auth_require_tls=False) as server:
        await send(server, "desk:secret@")
        with pytest.raises(Unsent) as failure:
            await send(server, "desk:wrong@")
    assert len(server.received) == 1
    assert not isinstance(failure.value, Undeliverable)
    assert failure.value.code == "535"


@pytest.mark.parametrize(("answer", "is_final"), [("451 busy canary", False), ("554 spam canary", True)])
async def test_failure_has_a_code_and_nothing_of_the_message(answer: str, is_final: bool) -> None:
    """Servers quote recipients in their answers: the log gets the number alone."""
    async with mail_server(answer) as server:
        with pytest.raises(Unsent) as failure:
            await send(server)
    assert isinstance(failure.value, Undeliverable) == is_final
    assert failure.value.code == answer[:3]
    assert "canary" not in str(failure.value)
