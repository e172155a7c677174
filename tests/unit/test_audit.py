"""The messages of the audit stream."""

import json
from datetime import UTC, datetime

from shared.contract.audit import AuditedEvent, audit_messages
from shared.contract.events import EventPlace, EventType

AT = datetime(2029, 12, 1, 8, tzinfo=UTC)


def event(site: str, type: EventType, number: int, actor: str | None = "web") -> AuditedEvent:
    place = EventPlace(resources=("a",), slot=AT)
    return AuditedEvent(type=type, at=AT, id=f"b{number}", version=1, site=site, place=place, actor=actor)


def test_changes_that_are_published_together_share_a_message_by_site_and_permission() -> None:
    """Records of one site and permission travel in one message; a repeat of it has the same id."""
    events = [
        event("a", "booked", 1),
        event("a", "booked", 2),
        event("b", "booked", 3),
        event("a", "moved", 4),
        event("a", "booked", 5, actor=None),
    ]
    messages = list(audit_messages(events))
    assert [(message.subject, len(json.loads(message.body)["records"])) for message in messages] == [
        ("audit.v1.a.book", 2),
        ("audit.v1.b.book", 1),
        ("audit.v1.a.move", 1),
    ]
    assert messages == list(audit_messages(events))


def test_event_of_a_known_caller_has_no_actor_on_the_wire() -> None:
    """The headers and the body of an event are the same with and without an actor."""
    known, unknown = event("a", "booked", 1, "desk-7"), event("a", "booked", 1, None)
    assert (known.headers(), known.body()) == (unknown.headers(), unknown.body())
