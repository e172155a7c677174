"""The events in the AsyncAPI document: one channel, and a message per type."""

import json
from datetime import UTC, datetime
from typing import Any, get_args

from shared.contract.events import STREAM, BookingEvent, EventData, EventPlace, EventType
from shared.contract.schemas import reference_to

Json = dict[str, Any]
EVENT_CHANNEL = "event.v1.{site}.{type}"
_BOOKED = EventPlace(resources=("dr-lee",), slot=datetime(2030, 1, 7, 9, tzinfo=UTC), durationMinutes=45)
_MOVED = EventPlace(resources=("dr-lee",), slot=datetime(2030, 1, 7, 10, tzinfo=UTC), durationMinutes=45)


def _example(
    kind: EventType,
    version: int,
    place: EventPlace,
    previous: EventPlace | None,
    attendance: str | None = None,
) -> BookingEvent:
    return BookingEvent(
        type=kind,
        at=datetime(2029, 12, 1, 8, 15, 30, tzinfo=UTC),
        id="e0d5be10-2c9a-472c-80ee-1a787c88798e",
        version=version,
        site="harbour",
        place=place,
        previous=previous,
        attendance=attendance,
    )


EXAMPLES = [
    _example("booked", 1, _BOOKED, None),
    _example("moved", 2, _MOVED, _BOOKED),
    _example("cancelled", 3, _MOVED, None),
    _example("renamed", 4, _MOVED, None),
    _example("attendance", 5, _MOVED, None, "arrived"),
    _example("erased", 6, _MOVED, None),
]


def event_channel() -> Json:
    """The channel of all events."""
    return {
        "address": EVENT_CHANNEL,
        "parameters": {
            "site": {"description": "The branch, or the tenant."},
            "type": {"enum": list(get_args(EventType)), "description": "What was done with the booking."},
        },
        "messages": {_name(event): {"$ref": f"#/components/messages/{_name(event)}"} for event in EXAMPLES},
    }


def event_operation() -> Json:
    """The publication of events."""
    channel = f"#/channels/{EVENT_CHANNEL.replace('{', '%7B').replace('}', '%7D')}"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "title": "events",
        "summary": "Every acknowledged change of a booking, at least once, in the order of its versions.",
        "description": f"CloudEvents 1.0 in binary mode, stored in the JetStream stream `{STREAM}`. "
        "A repeat has the same `ce-id`: drop it, or compare `version`.",
        "messages": [{"$ref": f"{channel}/messages/{_name(event)}"} for event in EXAMPLES],
    }


def event_messages() -> Json:
    """The message of each type."""
    return {_name(event): _message(event) for event in EXAMPLES}


def _message(event: BookingEvent) -> Json:
    headers = event.headers()
    return {
        "title": _name(event),
        "contentType": headers["ce-datacontenttype"],
        "headers": {
            "type": "object",
            "required": sorted(headers),
            "properties": {name: {"type": "string"} for name in headers},
        },
        "payload": reference_to(EventData),
        "examples": [{"headers": headers, "payload": json.loads(event.body())}],
    }


def _name(event: BookingEvent) -> str:
    return f"Appointment{event.type.capitalize()}"
