"""Replies: the bodies of 2xx answers. Field names are the names on the wire, the same over HTTP and NATS."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .fields import AttendanceName, Instant

OK = "ok"
UNANSWERED = "does not answer"
"""The value of a check in `Readiness` if its server cannot be reached."""


class Served(BaseModel):
    """The service of an appointment and its buffers (minutes), as of its booking; buffers of 0 are absent."""

    service: str | None = None
    bufferBefore: int | None = None
    bufferAfter: int | None = None


class Appointment(Served):
    """An appointment.

    `patientName` and `contact` are absent once they are erased, and for a caller who may not read names.
    Without `attendance`, the patient is expected.
    """

    id: str
    site: str
    resources: tuple[str, ...]
    slot: Instant
    durationMinutes: int | None = None
    patientName: str | None = None
    contact: str | None = None
    attendance: Literal["arrived", "missed"] | None = None
    status: Literal["booked", "cancelled"]
    version: int
    createdAt: Instant


class BookingConfirmed(BaseModel):
    message: str = "Booking confirmed"
    appointment: Appointment


class BookingMoved(BaseModel):
    message: str = "Booking moved"
    appointment: Appointment


class BookingCancelled(BaseModel):
    message: str = "Booking cancelled"
    appointment: Appointment


class BookingAmended(BaseModel):
    message: str = "Booking amended"
    appointment: Appointment


class AppointmentFound(BaseModel):
    appointment: Appointment


class Change(Served):
    """A change of an appointment, and its place after the change; `version` is 1 for `booked`.

    `attendance`: the new one, if it changed.
    """

    version: int
    type: Literal["booked", "moved", "cancelled", "erased", "renamed", "attendance"]
    at: Instant
    slot: Instant
    durationMinutes: int | None = None
    resources: tuple[str, ...]
    attendance: AttendanceName | None = None


class HistoryFound(BaseModel):
    """The changes of an appointment, the oldest first."""

    history: list[Change]


class AppointmentsFound(BaseModel):
    """A page of appointments. The last page has no `next`."""

    appointments: list[Appointment]
    next: str | None = None


class TakenSlot(BaseModel):
    """Booked or held cells of a resource, from `slot` on."""

    resource: str
    slot: Instant
    durationMinutes: int | None = None
    state: Literal["booked", "held"]


class SlotsFound(BaseModel):
    """A page of booked and held cells. The last page has no `next`.

    `holds` is `unknown` if Redis does not answer: then `taken` has the booked cells only.
    """

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)

    site: str
    from_: Instant = Field(alias="from")
    to: Instant
    taken: list[TakenSlot]
    holds: Literal["known", "unknown"]
    next: str | None = None


class GridFound(BaseModel):
    """The grid: cells of `slotMinutes`, counted from the Unix epoch.

    If it is 0, every instant is a cell, and bookings have no duration. Bookings that touch the same cell of a
    resource conflict.
    """

    slotMinutes: int
    longestMinutes: int | None = None
    mostResources: int
    mostClaims: int


class Hold(Served):
    """A hold. Its resources and its duration are those of its service, if it has one."""

    token: str
    site: str
    resources: tuple[str, ...]
    slot: Instant
    durationMinutes: int | None = None
    expiresAt: Instant


class HoldPlaced(BaseModel):
    message: str
    hold: Hold


class HoldReleased(BaseModel):
    message: str = "Hold released"


class Readiness(BaseModel):
    """Whether a process can serve, and the state of its parts: `ok` or the problem."""

    ready: bool
    checks: dict[str, str]
