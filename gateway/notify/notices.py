"""Notices: what a patient has to be told, and when. They follow from the events of bookings.

A notice has no contact, no name and no place: those are read when it is sent. So a reminder of a booking that
was moved or cancelled since is dropped, and the move has made a reminder of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from shared.contract.events import BookingEvent
from shared.contract.replies import Appointment, Change

OLDEST = timedelta(days=1)
"""A change that is older is not told any more."""
SETTLING = timedelta(seconds=3)
"""The time after a change in which the caller that made it becomes known (`suppressed_by`)."""
PATIENT, SMS = "patient", "sms"
"""The callers that are patients: with a link, and by text messages, which are answered at once."""


class Kind(StrEnum):
    """What a notice tells: a change, or that an appointment is in a day or in two hours."""

    BOOKED = "booked"
    MOVED = "moved"
    CANCELLED = "cancelled"
    DAY = "day"
    HOURS = "hours"


LEADS = {Kind.DAY: timedelta(days=1), Kind.HOURS: timedelta(hours=2)}
"""How long before the slot a reminder is due, the earliest first."""
CHANGES = {"booked": Kind.BOOKED, "moved": Kind.MOVED, "cancelled": Kind.CANCELLED}
_PERMISSIONS = {"book": Kind.BOOKED, "move": Kind.MOVED, "cancel": Kind.CANCELLED}


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice about an appointment, due `at`.

    `reference`: the version that a change has made, or the minute (since 1970) at which a reminder is due.
    """

    kind: Kind
    id: str
    reference: int
    at: datetime

    @property
    def key(self) -> str:
        """The key under which it is stored and was sent; it begins with its day."""
        return f"{day_of(self.at)}.{self.kind}.{self.id}.{self.reference}"

    @property
    def lead(self) -> timedelta | None:
        """How long before the slot it is due; None for a change."""
        return LEADS.get(self.kind)

    def is_true_of(self, appointment: Appointment, history: list[Change], now: datetime) -> bool:
        """Return whether it still has to be told: nothing has happened since that replaces it."""
        if appointment.slot <= now:
            return False
        if self.lead is None:
            told = [change for change in history if change.type in CHANGES]
            return bool(told) and told[-1].version == self.reference
        later = [lead for lead in LEADS.values() if lead < self.lead]
        return (
            appointment.status == "booked"
            and _minute(appointment.slot - self.lead) == self.reference
            and all(now < appointment.slot - lead for lead in later)
        )


def day_of(at: datetime) -> str:
    """Return the day of an instant in UTC, with which the keys of its notices begin."""
    return f"{at.astimezone(UTC):%Y%m%d}"


def notices_of(event: BookingEvent, *, now: datetime, began: datetime) -> Iterator[Notice]:
    """Yield the notices that follow from a change.

    Args:
        event: the change.
        now: the time.
        began: when the first process of this deployment started: earlier changes were not told then, and
            are not told now.
    """
    if event.type not in CHANGES or event.place.slot <= now:
        return
    if event.at >= max(began, now - OLDEST):
        yield Notice(CHANGES[event.type], event.id, event.version, event.at + SETTLING)
    if event.type != "cancelled":
        for kind, lead in LEADS.items():
            due = event.place.slot - lead
            if due > event.at:
                yield Notice(kind, event.id, _minute(due), due)


def suppressed_by(subject: str, id: str, version: int, at: datetime, actor: str) -> Notice | None:
    """Return the notice of a change that is not told, because the patient has made it and knows.

    Args:
        subject: of the record in the audit stream.
        id: of the appointment, and the rest of the record.
    """
    kind = _PERMISSIONS.get(subject.rpartition(".")[2])
    if kind is None or not (actor == SMS or (actor == PATIENT and kind is Kind.CANCELLED)):
        return None
    return Notice(kind, id, version, at + SETTLING)


def _minute(at: datetime) -> int:
    return int(at.timestamp() // 60)
