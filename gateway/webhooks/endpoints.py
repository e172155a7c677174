"""Endpoints as the bucket has them: with their secrets and a replay."""

import secrets
from base64 import b64encode
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel

from gateway.webhooks.messages import TYPES, CreateWebhook, Webhook
from shared.contract.events import subject_of
from shared.contract.fields import Instant, random_uuid

SECRET_BYTES = 32
BOTH_SIGN = timedelta(days=1)
MOST_OLD_SECRETS = 4


class Secret(BaseModel):
    """A signing secret; after a rotation the old one signs `until` its end."""

    text: str
    until: Instant | None = None


class Replay(BaseModel):
    """A replay of the events that were stored from `since` to `until`."""

    since: Instant
    until: Instant


class StoredWebhook(Webhook):
    """An endpoint as the bucket has it."""

    secrets: tuple[Secret, ...]
    replay: Replay | None = None

    @property
    def subjects(self) -> list[str]:
        """The subjects of the events that the endpoint wants."""
        return [subject_of(self.site or "*", TYPES[name]) for name in self.types]

    def rotated(self, at: datetime) -> "StoredWebhook":
        """Return the endpoint with a new secret; the last `MOST_OLD_SECRETS` sign until their ends."""
        old = self.secrets[0].model_copy(update={"until": at + BOTH_SIGN})
        older = (secret for secret in self.secrets[1:] if secret.until and secret.until > at)
        return self.model_copy(update={"secrets": (new_secret(), *[old, *older][:MOST_OLD_SECRETS])})


def new_webhook(command: CreateWebhook) -> StoredWebhook:
    """Return a new endpoint."""
    asked = command.model_dump()
    return StoredWebhook(id=random_uuid(), createdAt=now(), secrets=(new_secret(),), **asked)


def new_secret() -> Secret:
    """Return a random signing secret."""
    return Secret(text="whsec_" + b64encode(secrets.token_bytes(SECRET_BYTES)).decode())


def now() -> datetime:
    """Return the current time in whole milliseconds."""
    time = datetime.now(UTC)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)
