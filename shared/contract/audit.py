"""The audit stream: which caller changed which booking, by which permission, without names.

It is a stream apart from the events, which go to other companies. A message has the changes of one site and
one permission that were published together, so that auditing costs little. A record may come twice: `id` and
`version` identify it. Changes without a known caller are not in it.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import BaseModel

from .caller import Scope
from .events import MESSAGE_ID, BookingEvent, EventType
from .fields import Instant

STREAM = "AUDIT"
SUBJECTS = "audit.v1.>"
_PERMISSIONS: dict[EventType, str] = {
    "booked": Scope.BOOK,
    "moved": Scope.MOVE,
    "cancelled": Scope.CANCEL,
    "erased": "erase",
    "renamed": Scope.NAMES,
    "attendance": Scope.MOVE,
}
"""The last token of a subject, by the type of a change: the scope of a key, or `erase`."""


class AuditedEvent(BookingEvent):
    """An event and the `actor` of its change: the id of a key, or of a command of the operators.

    Neither the headers nor the body of the event contain the actor.
    """

    actor: str | None = None


class AuditRecord(BaseModel):
    """A change of the booking `id` to `version` by `actor`."""

    id: str
    version: int
    at: Instant
    actor: str


class AuditRecords(BaseModel):
    """The body of a message."""

    records: list[AuditRecord]


@dataclass(frozen=True)
class AuditMessage:
    """A message of the audit stream."""

    subject: str
    body: bytes
    headers: dict[str, str]


def audit_subject(site: str, type: EventType) -> str:
    """Return the subject of the records of a type of change in a site."""
    return f"audit.v1.{site}.{_PERMISSIONS[type]}"


def audit_messages(events: Iterable[AuditedEvent]) -> Iterator[AuditMessage]:
    """Return the messages that record events, at most one a subject. Equal events give equal messages."""
    by_subject: dict[str, list[AuditRecord]] = {}
    for event in events:
        if event.actor is not None:
            record = AuditRecord.model_construct(
                id=event.id, version=event.version, at=event.at, actor=event.actor
            )
            by_subject.setdefault(audit_subject(event.site, event.type), []).append(record)
    for subject, records in by_subject.items():
        body = AuditRecords.model_construct(records=records).model_dump_json().encode()
        yield AuditMessage(subject, body, {MESSAGE_ID: hashlib.sha256(body).hexdigest()})
