"""The public names of `slotkeeper`: the client, what it is asked, what it answers, how it refuses."""

from ..contract.commands import BookAppointment, GetAppointment, PlaceHold
from ..contract.errors import (
    Conflict,
    InvalidRequest,
    KeyReused,
    NoSuchAppointment,
    NotExecuted,
    NotFound,
    OutcomeUnknown,
    Refused,
    SlotAlreadyBooked,
    SlotHeld,
)
from ..contract.replies import Appointment, AppointmentFound, BookingConfirmed, Hold, HoldPlaced, Reply
from .booking_client import BookingClient

__all__ = [
    "Appointment",
    "AppointmentFound",
    "BookAppointment",
    "BookingClient",
    "BookingConfirmed",
    "Conflict",
    "GetAppointment",
    "Hold",
    "HoldPlaced",
    "InvalidRequest",
    "KeyReused",
    "NoSuchAppointment",
    "NotExecuted",
    "NotFound",
    "OutcomeUnknown",
    "PlaceHold",
    "Refused",
    "Reply",
    "SlotAlreadyBooked",
    "SlotHeld",
]
