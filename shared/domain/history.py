"""Keep the history of a booking in its row: one entry per change, written with the change.

The event that announces a change is derived only from its entry, so the entry has all of the event's data.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from shared.contract.audit import AuditedEvent
from shared.contract.events import EventPlace
from shared.contract.fields import AttendanceName, is_site
from shared.contract.replies import Change
from shared.domain.booked_service import BookedService, fields_of

MOST_ENTRIES = 100

ChangeType = Literal["booked", "moved", "cancelled", "erased", "renamed", "attendance"]


@dataclass(frozen=True, slots=True)
class Position:
    """The place of a booking: from `slot` on for `duration` minutes (None on a grid of 0), at `resources`.

    The buffers of its `service`, if it has one, belong to the place too.
    """

    slot: datetime
    duration: int | None
    resources: tuple[str, ...]
    service: BookedService | None = None

    def to_document(self) -> dict[str, Any]:
        place = {"slot": self.slot, "durationMinutes": self.duration, "resources": list(self.resources)}
        return place if self.service is None else place | self.service.to_document()

    @classmethod
    def from_document(cls, position: dict[str, Any]) -> "Position":
        return cls(
            position["slot"],
            position["durationMinutes"],
            tuple(position["resources"]),
            BookedService.from_document(position),
        )

    def to_place(self) -> EventPlace:
        return EventPlace.model_construct(
            resources=self.resources,
            slot=self.slot,
            durationMinutes=self.duration,
            **fields_of(self.service),
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """A change of a booking of `site`, and its position after it.

    `move_id` identifies the move that a `moved` entry records, and `previous` is the position before it.
    `actor` is the id of the caller that made the change, for the audit stream alone. `attendance` is the new
    one, if it changed. `mark` identifies the amendment that the entry records (`Digests.of_amendment`).
    """

    version: int
    type: ChangeType
    at: datetime
    site: str
    position: Position
    move_id: str | None = None
    previous: Position | None = None
    actor: str | None = None
    attendance: AttendanceName | None = None
    mark: str | None = None

    def to_document(self) -> dict[str, Any]:
        document = {
            "version": self.version,
            "type": self.type,
            "at": self.at,
            "site": self.site,
            **self.position.to_document(),
        }
        if self.move_id is not None:
            document["moveId"] = self.move_id
        if self.previous is not None:
            document["previous"] = self.previous.to_document()
        if self.actor is not None:
            document["actor"] = self.actor
        if self.attendance is not None:
            document["attendance"] = self.attendance
        if self.mark is not None:
            document["mark"] = self.mark
        return document

    @classmethod
    def from_document(cls, entry: dict[str, Any]) -> "Entry":
        """Return the entry of a row.

        Raises:
            AttributeError, KeyError, TypeError: this service did not write the row.
        """
        times = isinstance(entry["at"], datetime) and isinstance(entry["slot"], datetime)
        if not (times and isinstance(entry["version"], int) and is_site(entry["site"])):
            raise TypeError("a history entry")
        previous = entry.get("previous")
        return cls(
            entry["version"],
            entry["type"],
            entry["at"],
            entry["site"],
            Position.from_document(entry),
            entry.get("moveId"),
            None if previous is None else Position.from_document(previous),
            entry.get("actor"),
            entry.get("attendance"),
            entry.get("mark"),
        )

    def to_event(self, booking_id: str) -> AuditedEvent:
        """Return the event that announces this change of the booking."""
        return AuditedEvent.model_construct(
            type=self.type,
            at=self.at,
            id=booking_id,
            version=self.version,
            site=self.site,
            place=self.position.to_place(),
            previous=None if self.previous is None else self.previous.to_place(),
            actor=self.actor,
            attendance=self.attendance,
        )

    def to_change(self) -> Change:
        """Return the change that callers see."""
        return Change.model_construct(
            version=self.version,
            type=self.type,
            at=self.at,
            slot=self.position.slot,
            durationMinutes=self.position.duration,
            resources=self.position.resources,
            attendance=self.attendance,
            **fields_of(self.position.service),
        )


History = tuple[Entry, ...]


def extended(history: History, entry: Entry) -> History:
    """Return the history with one more entry. It keeps `MOST_ENTRIES`: the first one and the latest ones."""
    first, *later = *history, entry
    return first, *later[-(MOST_ENTRIES - 1) :]
