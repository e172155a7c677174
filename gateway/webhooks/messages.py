"""Bodies of the webhook API. Field names are those on the wire."""

import re
from typing import Annotated, Any, get_args

from pydantic import BaseModel, PlainSerializer, PlainValidator, WithJsonSchema

from shared.contract.commands import Command
from shared.contract.events import EventType, full_type
from shared.contract.fields import Instant, Site, invalid

TYPES: dict[str, EventType] = {full_type(name): name for name in get_args(EventType)}
"""The types of events as a receiver reads them, each with the last token of its subject."""
TEST_SUBJECT = "webhook.v1.test"
"""The subject of requests for a test delivery, from the gateway to a process of `gateway.webhooks`."""
LONGEST_URL = 2048
_URL = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?][!\"$-~]*)?")
_URL_TEXT = f"an https URL of at most {LONGEST_URL} characters, without user, password and fragment"


def _url(value: Any) -> str:
    if isinstance(value, str) and len(value) <= LONGEST_URL and _URL.fullmatch(value):
        return value
    raise invalid(f"must be {_URL_TEXT}")


def _types(value: Any) -> tuple[str, ...]:
    names = list(value) if isinstance(value, list | tuple) else []
    known = [name for name in TYPES if name in names]
    if names and len(known) == len(names):
        return tuple(known)
    raise invalid(f"must be a list of different types out of {', '.join(TYPES)}")


WebhookUrl = Annotated[
    str,
    PlainValidator(_url),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": LONGEST_URL,
            "pattern": f"^{_URL.pattern}$",
            "description": "Where deliveries are posted to: `https`, on a public address.",
        }
    ),
]
WebhookTypes = Annotated[
    tuple[str, ...],
    PlainValidator(_types),
    PlainSerializer(list, return_type=list[str]),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string", "enum": list(TYPES)},
            "minItems": 1,
            "maxItems": len(TYPES),
            "uniqueItems": True,
            "description": "The types of events to deliver.",
        }
    ),
]


class CreateWebhook(Command):
    """Deliver events to a URL: of one site, or of all if `site` is not sent."""

    url: WebhookUrl
    site: Site | None = None
    types: WebhookTypes = tuple(TYPES)


class ReplayWebhook(Command):
    """Deliver the events since a time again."""

    since: Instant


class Webhook(BaseModel):
    """An endpoint as the API shows it. Nothing is delivered from `disabledAt` on."""

    id: str
    url: str
    site: str | None = None
    types: WebhookTypes
    createdAt: Instant
    disabledAt: Instant | None = None


class WebhookCreated(Webhook):
    """A new endpoint, with the secret that signs its deliveries; the secret is not shown again."""

    secret: str


class WebhooksFound(BaseModel):
    webhooks: list[Webhook]


class WebhookDeleted(BaseModel):
    message: str = "Webhook deleted"


class SecretRotated(BaseModel):
    """The new secret. Until `bothUntil`, deliveries have a signature of the old one too."""

    id: str
    secret: str
    bothUntil: Instant


class ReplayStarted(BaseModel):
    message: str = "Replay started"


class Delivery(BaseModel):
    """One attempt: the receiver's `status`, or the `error` if there was no answer; it took `ms`."""

    id: str
    type: str
    attempt: int
    at: Instant
    status: int | None = None
    error: str | None = None
    ms: float

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class DeliveriesFound(BaseModel):
    """The last attempts, the latest first."""

    deliveries: list[Delivery]
