"""Settings of messages to and from patients: text messages and mail."""

import re
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from shared.process.secret_files import SECRET
from shared.process.settings import Settings, needs_tls


class SmsSettings(Settings):
    """Text messages. `sms_secret` makes the HMACs of phone numbers."""

    sms_auth_token: Annotated[str | None, SECRET] = None
    sms_secret: Annotated[str | None, SECRET, Field(min_length=32)] = None
    sms_numbers: str = ""
    demo_pages: bool = False


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


class NotifySettings(Settings):
    """How messages to patients leave. Settings of a site follow the default: `en,harbour=de`."""

    twilio_account_sid: Annotated[str, Field(pattern="^[A-Za-z0-9]{1,64}$")] | None = None
    twilio_url: Annotated[str, AfterValidator(needs_tls)] = "https://api.twilio.com"
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
