"""The public names of `slotkeeper`: the client, its commands, replies, events and refusals."""

from ..contract.commands import BookAppointment, MoveAppointment, PlaceHold, ReleaseHold
from ..contract.errors import (
    AppointmentCancelled,
    Conflict,
    HoldsUnreachable,
    InvalidRequest,
    KeyReused,
    NameErased,
    NoSuchAppointment,
    NoSuchHold,
    NotExecuted,
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
    Refused,
    SlotAlreadyBooked,
    SlotHeld,
    SlotNotOffered,
)
from ..contract.events import BookingEvent, EventPlace
from ..contract.replies import Appointment, Change, GridFound, Hold, TakenSlot
from .client import Booked, BookingClient

__all__ = [
    "Appointment",
    "AppointmentCancelled",
    "BookAppointment",
    "Booked",
    "BookingClient",
    "BookingEvent",
    "Change",
    "Conflict",
    "EventPlace",
    "GridFound",
    "Hold",
    "HoldsUnreachable",
    "InvalidRequest",
    "KeyReused",
    "MoveAppointment",
    "NameErased",
    "NoSuchAppointment",
    "NoSuchHold",
    "NotExecuted",
    "NotFound",
    "OutcomeUnknown",
    "PlaceHold",
    "PreconditionFailed",
    "Refused",
    "ReleaseHold",
    "SlotAlreadyBooked",
    "SlotHeld",
    "SlotNotOffered",
    "TakenSlot",
]
