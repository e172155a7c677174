"""What is remembered about each phone, under an HMAC of its number, in a key-value bucket of JetStream.

A record has the appointments of a phone beside its conversation, so that one compare-and-set changes both.
"""

from datetime import datetime, timedelta

from nats.js import JetStreamContext
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from pydantic import BaseModel, ConfigDict

from gateway.sms.buckets import Bucket
from gateway.sms.steps import State
from shared.contract.fields import Instant

CONVERSATIONS = "sms_conversations"
KEPT_SECONDS = 400 * 24 * 60 * 60.0
"""How long a record stays after the phone's last text: longer than an appointment lies ahead."""
MOST_ANSWERED = 20
LEASE = timedelta(seconds=10)
"""How long a gateway may take to answer a text: a little longer than it gives itself."""


class Answered(BaseModel):
    """A text that was answered. The reply has neither a name nor a number."""

    model_config = ConfigDict(frozen=True)

    message: str
    reply: str


class Record(BaseModel):
    """The conversation with a phone.

    `answered`: the last texts, the oldest first. `busy_until`: a gateway answers a text until then.
    """

    model_config = ConfigDict(frozen=True)

    state: State = State()
    answered: tuple[Answered, ...] = ()
    busy_until: Instant | None = None

    def reply_to(self, message: str) -> str | None:
        """Return the reply to a text that was answered before."""
        return next((each.reply for each in self.answered if each.message == message), None)

    def claimed(self, now: datetime) -> "Record":
        """Return the record with a lease for the text that is being answered."""
        return self.model_copy(update={"busy_until": now + LEASE})

    def unclaimed(self) -> "Record":
        """Return the record without a lease, its text unanswered."""
        return self.model_copy(update={"busy_until": None})

    def after(self, state: State, message: str, reply: str) -> "Record":
        """Return the record without the lease, after a text was answered."""
        answered = (*self.answered, Answered(message=message, reply=reply))[-MOST_ANSWERED:]
        return Record(state=state, answered=answered)


class Changed(Exception):
    """Another gateway has changed the record since it was read."""


class RecordStore:
    """Reads records, and changes them by compare-and-set.

    Both methods raise `NotExecuted` if JetStream did nothing, and `OutcomeUnknown` if it did not answer.

    Args:
        jetstream: of the connection.
        replicas: in a cluster, how many servers have a copy (`EVENTS_REPLICAS`).
    """

    def __init__(self, jetstream: JetStreamContext, replicas: int = 1) -> None:
        self._bucket = Bucket(jetstream, CONVERSATIONS, replicas, KEPT_SECONDS)

    async def read(self, key: str) -> tuple[Record, int]:
        """Return a record and its revision; an empty one with revision 0 if the phone is not known."""
        async with self._bucket.open() as bucket:
            try:
                entry = await bucket.get(key)
            except KeyNotFoundError:
                return Record(), 0
            return Record.model_validate_json(entry.value or b"{}"), entry.revision or 0

    async def write(self, key: str, record: Record, revision: int) -> int:
        """Replace the record that has a revision, and return the new revision.

        Raises:
            Changed
        """
        value = record.model_dump_json(exclude_defaults=True).encode()
        async with self._bucket.open() as bucket:
            try:
                if revision:
                    return await bucket.update(key, value, last=revision)
                return await bucket.create(key, value)
            except KeyWrongLastSequenceError:
                raise Changed from None
