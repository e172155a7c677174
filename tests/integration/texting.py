"""Phones that text to a gateway, whose requests are signed as Twilio signs them."""

import hmac
from base64 import b64encode
from dataclasses import dataclass, field
from hashlib import sha1
from itertools import count
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree

import httpx

TOKEN, SECRET = "12345678901234567890123456789012", "s" * 40
OURS, OURS_GERMAN, OURS_OF_ANOTHER_SITE = "+4940555010", "+4940555011", "+4940555012"
PUBLIC = "https://clinic.example"
_numbers = count(uuid4().int % 10**6)


def settings(site: str, **more: str) -> dict[str, str]:
    """Return the environment of a gateway with two numbers of a site, and one of the site `<site>-b`."""
    return {
        "SMS_AUTH_TOKEN": TOKEN,
        "SMS_SECRET": SECRET,
        "SMS_NUMBERS": f"{OURS}={site}:en,{OURS_GERMAN}={site}:de,{OURS_OF_ANOTHER_SITE}={site}-b:en",
        "PUBLIC_URL": PUBLIC,
        **more,
    }


def sign(url: str, fields: dict[str, str], token: str = TOKEN) -> str:
    """Return the signature of a request, by https://www.twilio.com/docs/usage/security."""
    text = url + "".join(name + fields[name] for name in sorted(fields))
    return b64encode(hmac.digest(token.encode(), text.encode(), sha1)).decode()


@dataclass
class Phone:
    """A phone. `http`: of the gateway that its provider calls."""

    http: httpx.AsyncClient
    to: str = OURS
    number: str = field(default_factory=lambda: f"+49151{next(_numbers):08}")

    async def post(self, text: str, *, message: str | None = None, **more: Any) -> httpx.Response:
        """Send a request as the provider does; `more` replaces fields, and `token` the secret."""
        token = more.pop("token", TOKEN)
        fields = {
            "MessageSid": message or f"SM{uuid4().hex}",
            "AccountSid": "AC" + "0" * 32,
            "From": self.number,
            "To": self.to,
            "Body": text,
            "NumMedia": "0",
            **more,
        }
        signature = sign(f"{PUBLIC}/api/sms", fields, token)
        return await self.http.post("/api/sms", data=fields, headers={"X-Twilio-Signature": signature})

    async def text(self, text: str, **more: Any) -> str:
        """Send a text, and return the reply; "" for none."""
        answer = await self.post(text, **more)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"].startswith("text/xml")
        return reply_in(answer)


def reply_in(answer: httpx.Response) -> str:
    """Return the message in TwiML; "" if there is none."""
    response = ElementTree.fromstring(answer.text)  # noqa: S314 - of our own gateway
    assert response.tag == "Response"
    messages = [each.text or "" for each in response]
    assert len(messages) <= 1
    return "".join(messages)
