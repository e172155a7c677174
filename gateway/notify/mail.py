"""Send e-mails by SMTP; those about a change have an iTIP object (RFC 5546) that a calendar program takes."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

import aiosmtplib
from icalendar import vCalAddress

from gateway.calendars.events import calendar_of, event_of
from gateway.notify.contacts import Mailbox
from gateway.notify.notices import Kind
from gateway.notify.providers import Message, Undeliverable, Unsent
from shared.contract.replies import Appointment
from shared.process.settings import is_loopback

SECONDS = 30.0
PORTS = {"smtp": 587, "smtps": 465}
METHODS = {Kind.BOOKED: "REQUEST", Kind.MOVED: "REQUEST", Kind.CANCELLED: "CANCEL"}
"""The method of iTIP that tells a change."""
PERMANENT = 500


@dataclass(frozen=True, repr=False)
class SmtpServer:
    """A server of `SMTP_URL`: `smtps` begins with TLS, `smtp` upgrades to it, except on this host."""

    host: str
    port: int
    user: str | None
    password: str | None
    is_tls: bool

    @classmethod
    def parse(cls, url: str) -> "SmtpServer":
        """Read an URL that the settings have checked."""
        parts = urlsplit(url)
        return cls(
            parts.hostname or "",
            parts.port or PORTS[parts.scheme],
            unquote(parts.username) if parts.username else None,
            unquote(parts.password) if parts.password else None,
            parts.scheme == "smtps",
        )


class Mail:
    """Sends by a server, from an address."""

    def __init__(self, server: SmtpServer, sender: str, now: Callable[[], datetime]) -> None:
        self._server, self._sender, self._now = server, sender, now
        self._tls = ssl.create_default_context()

    async def send(self, message: Message[Mailbox]) -> None:
        server = self._server
        try:
            await aiosmtplib.send(
                self._compose(message),
                hostname=server.host,
                port=server.port,
                username=server.user,
                password=server.password,
                use_tls=server.is_tls,
                start_tls=not (server.is_tls or is_loopback(server.host)),
                tls_context=self._tls,
                timeout=SECONDS,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _refused(min(each.code for each in error.recipients)) from None
        except aiosmtplib.SMTPAuthenticationError as error:
            raise Unsent(str(error.code)) from None
        except (aiosmtplib.SMTPDataError, aiosmtplib.SMTPRecipientRefused) as error:
            raise _refused(error.code) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Unsent(type(error).__name__) from None

    async def close(self) -> None:
        """A connection ends with its message."""

    def _compose(self, message: Message[Mailbox]) -> EmailMessage:
        mail = EmailMessage()
        # An encoded word (RFC 2047) in a title would be decoded, and could begin another header.
        subject = message.subject.replace("=?", "= ?")
        mail["From"], mail["To"], mail["Subject"] = self._sender, message.to.address, subject
        mail["Date"] = format_datetime(self._now())
        mail["Message-ID"] = f"<{message.id}@{self._sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        if message.calendar is not None:
            method, content = message.calendar
            text = content.decode()
            mail.add_alternative(text, subtype="calendar", params={"method": method})
        return mail


def itip_of(
    kind: Kind,
    appointment: Appointment,
    summary: str,
    *,
    sender: str,
    to: str,
    zone: str | None,
    at: datetime,
) -> tuple[str, bytes] | None:
    """Return the iTIP object of a change and its method; None for a reminder."""
    method = METHODS.get(kind)
    if method is None:
        return None
    event = event_of(appointment, summary, at=at)
    event.add("organizer", vCalAddress(f"mailto:{sender}"))
    state = {"ROLE": "REQ-PARTICIPANT", "PARTSTAT": "ACCEPTED", "RSVP": "FALSE"}
    event.add("attendee", vCalAddress(f"mailto:{to}"), parameters=state)
    calendar = calendar_of([event], zone)
    calendar.add("method", method)
    return method, bytes(calendar.to_ical())


def _refused(code: int) -> Unsent:
    return Undeliverable(str(code)) if code >= PERMANENT else Unsent(str(code))
