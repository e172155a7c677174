"""Events: one per change of a booking, published to JetStream in the order of its versions.

On the wire an event is a CloudEvent in binary mode: its attributes are headers, its data is the body. It
never contains a name. https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/nats-protocol-binding.md
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ValidationError

from .commands import Command
from .errors import InvalidRequest
from .fields import ConsumerName, Instant, Site
from .instants import format_instant
from .replies import Served

STREAM = "EVENTS"
SUBJECTS = "event.v1.>"
MESSAGE_ID = "Nats-Msg-Id"
"""The id by which JetStream drops duplicates within its duplicate window."""
CONTENT_TYPE = "application/json"
_TYPE_PREFIX = "appointment."

EventType = Literal["booked", "moved", "cancelled", "erased", "renamed", "attendance"]


class FollowEvents(Command):
    """The events that a consumer receives: of one site or of all, since a time or from now on.

    `durable`: the name of the consumer, so that NATS stores its position.
    """

    site: Site | None = None
    since: Instant | None = None
    durable: ConsumerName | None = None


class EventPlace(Served):
    """The place of a booking; without `durationMinutes` on a grid of 0."""

    resources: tuple[str, ...]
    slot: Instant
    durationMinutes: int | None = None


class EventData(Served):
    """The body of an event: the booking after the change; after a move, also its previous place.

    `erased`, `renamed` and `attendance` leave the place as it is; `erased` may follow `cancelled` too.
    `attendance` is the new one, if it changed.
    """

    id: str
    version: int
    site: str
    resources: tuple[str, ...]
    slot: Instant
    durationMinutes: int | None = None
    previous: EventPlace | None = None
    attendance: str | None = None


class BookingEvent(BaseModel):
    """A change of a booking: `booked` is version 1, and every later change adds one."""

    type: EventType
    at: Instant
    id: str
    version: int
    site: str
    place: EventPlace
    previous: EventPlace | None = None
    attendance: str | None = None

    @property
    def event_id(self) -> str:
        """The unique id of this event, the same in every publication of it."""
        return f"{self.id}:{self.version}"

    @property
    def full_type(self) -> str:
        return full_type(self.type)

    @property
    def subject(self) -> str:
        return subject_of(self.site, self.type)

    def headers(self) -> dict[str, str]:
        """Return the attributes of the CloudEvent, and the id for JetStream."""
        return {
            MESSAGE_ID: self.event_id,
            "ce-specversion": "1.0",
            "ce-id": self.event_id,
            "ce-type": self.full_type,
            "ce-source": f"/sites/{self.site}",
            "ce-subject": self.id,
            "ce-time": format_instant(self.at),
            "ce-datacontenttype": CONTENT_TYPE,
        }

    def body(self) -> bytes:
        """Return the data of the CloudEvent as JSON."""
        data = EventData.model_construct(
            id=self.id,
            version=self.version,
            site=self.site,
            resources=self.place.resources,
            slot=self.place.slot,
            durationMinutes=self.place.durationMinutes,
            previous=self.previous,
            attendance=self.attendance,
            **{field: getattr(self.place, field, None) for field in Served.model_fields},
        )
        return data.model_dump_json(exclude_none=True).encode()


def full_type(type: EventType) -> str:
    """Return the type of an event as receivers outside of NATS read it."""
    return _TYPE_PREFIX + type


def subject_of(site: str, type: EventType | Literal["*"] = "*") -> str:
    """Return the subject of a site's events, of one type or of all types."""
    return f"event.v1.{site}.{type}"


def consumer_of(client: str) -> str:
    """Return the name of the durable consumer of a direct client, in a deployment with accounts."""
    return f"client-{client}"


def read_event(headers: Mapping[str, str], body: bytes) -> BookingEvent:
    """Read an event from the headers and body of its message.

    Raises:
        InvalidRequest: the message is not an event of this contract.
    """
    try:
        data = EventData.model_validate_json(body)
        return BookingEvent.model_validate(
            {
                "type": headers["ce-type"].removeprefix(_TYPE_PREFIX),
                "at": headers["ce-time"],
                "id": data.id,
                "version": data.version,
                "site": data.site,
                "place": data.model_dump(include=set(EventPlace.model_fields)),
                "previous": data.previous,
                "attendance": data.attendance,
            }
        )
    except (KeyError, ValidationError):
        raise InvalidRequest("The message is not an event of this contract") from None
