"""Replies: the bodies of 2xx answers. Field names are those on the wire, over HTTP and NATS alike."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .fields import Instant

OK = "ok"
UNANSWERED = "does not answer"
"""Of a check of `Readiness`: the server cannot be reached."""


class Appointment(BaseModel):
    id: str
    site: str
    resources: tuple[str, ...]
    slot: Instant
    durationMinutes: int | None = None
    patientName: str
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


class AppointmentFound(BaseModel):
    appointment: Appointment


class Change(BaseModel):
    """What became of an appointment, and where it lay from then on; `version` is 1 for `booked`."""

    version: int
    type: Literal["booked", "moved", "cancelled"]
    at: Instant
    slot: Instant
    durationMinutes: int | None = None
    resources: tuple[str, ...]


class HistoryFound(BaseModel):
    """The changes of an appointment, the oldest first."""

    history: list[Change]


class AppointmentsFound(BaseModel):
    """A page of appointments; without `next` it is the last."""

    appointments: list[Appointment]
    next: str | None = None


class TakenSlot(BaseModel):
    """Cells of a resource that nobody else can have, from `slot` on."""

    resource: str
    slot: Instant
    durationMinutes: int | None = None
    state: Literal["booked", "held"]


class SlotsFound(BaseModel):
    """A page of what is taken; without `next` it is the last.

    `holds` is `unknown` where Redis does not say what is held: then `taken` is what is booked.
    """

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)

    site: str
    from_: Instant = Field(alias="from")
    to: Instant
    taken: list[TakenSlot]
    holds: Literal["known", "unknown"]
    next: str | None = None


class GridFound(BaseModel):
    """The grid has cells of `slotMinutes` since the Unix epoch; 0: each instant is one, without a duration.

    Bookings that touch the same cell of a resource conflict.
    """

    slotMinutes: int
    longestMinutes: int | None = None
    mostResources: int
    mostClaims: int


class Hold(BaseModel):
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
    """Whether a process can serve, and how each part it needs is: `ok` or what is wrong."""

    ready: bool
    checks: dict[str, str]
