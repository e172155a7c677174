"""The calls of the webhook API, as OpenAPI describes them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from gateway.docs import parts
from gateway.webhooks import messages
from shared.contract.caller import Scope
from shared.contract.commands import Command
from shared.contract.errors import NoSuchWebhook, Refused, WebhookDisabled
from shared.contract.operations import as_json

WEBHOOKS = "webhooks"
PATH, OF_ONE = "/api/webhooks", "/api/webhooks/{id}"
_ID = "6a1c0b52-9d5e-4b7e-8a43-0c6b3a8c7d10"
_AT = datetime(2029, 12, 1, 8, 15, 30, tzinfo=UTC)
_TYPES = ("appointment.booked", "appointment.cancelled")
_WEBHOOK = messages.Webhook(
    id=_ID, url="https://example.org/hooks", site="harbour", types=_TYPES, createdAt=_AT
)
_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of the specification
_DELIVERY = messages.Delivery(
    id="e0d5be10-2c9a-472c-80ee-1a787c88798e:1",
    type="appointment.booked",
    attempt=1,
    at=_AT,
    status=204,
    ms=41.5,
)
_PARAMETER = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The webhook's id.",
    "schema": {"type": "string"},
    "example": _ID,
}


@dataclass(frozen=True, eq=False)
class WebhookCall:
    """A call: examples of its `body`, if it has one, and of its `answer` stand for their models."""

    name: str
    method: str
    path: str
    summary: str
    description: str
    answer: BaseModel
    body: Command | None = None
    status: int = 200
    own_refusals: tuple[type[Refused], ...] = ()

    @property
    def refusals(self) -> tuple[type[Refused], ...]:
        of_one = (NoSuchWebhook,) if "{id}" in self.path else ()
        return (*of_one, *self.own_refusals)

    def described(self) -> dict[str, Any]:
        """Return the arguments of the route's declaration, besides its path and method."""
        extra: dict[str, Any] = {
            "parameters": [*([_PARAMETER] if "{id}" in self.path else []), parts.REQUEST_ID_REFERENCE],
            "responses": parts.refusals(self.refusals, has_body=self.body is not None),
            "security": parts.security(Scope.WEBHOOKS),
        }
        if self.body is not None:
            extra["requestBody"] = parts.body_of({type(self.body): as_json(self.body)})
        return {
            "operation_id": self.name,
            "summary": self.summary,
            "description": parts.with_scope(self.description, Scope.WEBHOOKS),
            "tags": [WEBHOOKS],
            "status_code": self.status,
            "response_model": type(self.answer),
            "responses": {self.status: parts.success(as_json(self.answer))},
            "openapi_extra": extra,
        }


CREATE = WebhookCall(
    "createWebhook",
    "POST",
    PATH,
    "Create a webhook",
    "Deliver events to a URL, of one site or of all, from now on. The secret is shown only here.",
    messages.WebhookCreated(**_WEBHOOK.model_dump(), secret=_SECRET),
    body=messages.CreateWebhook(url=_WEBHOOK.url, site="harbour", types=_TYPES),
    status=201,
)
LIST = WebhookCall(
    "listWebhooks",
    "GET",
    PATH,
    "List webhooks",
    "All webhooks, without their secrets. One with `disabledAt` answered 410 and gets nothing any more.",
    messages.WebhooksFound(webhooks=[_WEBHOOK]),
)
DELETE = WebhookCall(
    "deleteWebhook",
    "DELETE",
    OF_ONE,
    "Delete a webhook",
    "Deliver nothing any more, and forget its deliveries.",
    messages.WebhookDeleted(),
)
ROTATE = WebhookCall(
    "rotateWebhookSecret",
    "POST",
    OF_ONE + "/rotate",
    "Rotate the secret of a webhook",
    "Make a new secret. For a day, each delivery has a signature of the old secret too.",
    messages.SecretRotated(id=_ID, secret=_SECRET, bothUntil=_AT),
)
REPLAY = WebhookCall(
    "replayWebhook",
    "POST",
    OF_ONE + "/replay",
    "Deliver past events again",
    "Deliver the events since a time again, under the same ids. A new replay ends an earlier one.",
    messages.ReplayStarted(),
    body=messages.ReplayWebhook(since=_AT),
    status=202,
    own_refusals=(WebhookDisabled,),
)
TEST = WebhookCall(
    "testWebhook",
    "POST",
    OF_ONE + "/test",
    "Make a test delivery",
    "Deliver an event of type `webhook.test` once, and answer with its status or error.",
    _DELIVERY.model_copy(update={"id": f"test_{_ID}", "type": "webhook.test"}),
)
DELIVERIES = WebhookCall(
    "listDeliveries",
    "GET",
    OF_ONE + "/deliveries",
    "List the last deliveries",
    "The last 100 attempts, the latest first, with the receiver's status or the error, and the latency.",
    messages.DeliveriesFound(deliveries=[_DELIVERY]),
)
CALLS = (CREATE, LIST, DELETE, ROTATE, REPLAY, TEST, DELIVERIES)
MODELS = {type(call.answer) for call in CALLS} | {type(call.body) for call in CALLS if call.body}
TAG = {
    "name": WEBHOOKS,
    "description": "Have events delivered to a URL. Without keys: on loopback only.",
}
