"""A mail server on loopback that keeps what it gets, and answers as a test says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session
from icalendar import Calendar

from deploy.local.ports import LOOPBACK
from tests.integration.receiver import WAIT_SECONDS

ACCEPTED = "250 OK"


@dataclass
class MailServer:
    """Answers each mail with the next of `answers`, the last one again and again; keeps those it accepts."""

    answers: list[str] = field(default_factory=lambda: [ACCEPTED])
    received: list[EmailMessage] = field(default_factory=list)
    url: str = ""
    with_tls: list[bool] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.with_tls.append(session.ssl is not None)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.startswith("250"):
            content = envelope.content
            assert isinstance(content, bytes)
            mail = message_from_bytes(content, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.received.append(mail)
        return answer

    def to(self, address: str) -> list[EmailMessage]:
        """Return the mails to an address, in the order in which they came."""
        return [mail for mail in self.received if mail["To"] == address]

    async def until(self, address: str, count: int) -> list[EmailMessage]:
        """Return the mails to an address, once that are `count`."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.to(address)) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return self.to(address)


@asynccontextmanager
async def mail_server(*answers: str, **options: Any) -> AsyncIterator[MailServer]:
    """Serve on loopback, with `options` of aiosmtpd."""
    server = MailServer(list(answers) or [ACCEPTED])
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: SMTP(server, loop=loop, **options), LOOPBACK, 0)
    server.url = f"smtp://{LOOPBACK}:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()


def itip_in(mail: EmailMessage) -> tuple[str, Any]:
    """Return the method and the event of the iTIP object in a mail, which a strict reader has read."""
    (part,) = (part for part in mail.walk() if part.get_content_type() == "text/calendar")
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    calendar = Calendar.from_ical(content)
    assert not calendar.errors
    (event,) = calendar.events
    assert part.get_param("method") == calendar["METHOD"]
    return str(calendar["METHOD"]), event
