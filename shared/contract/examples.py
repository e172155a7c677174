"""What each command asks, what it is answered, and by what it may be refused: for the documents of the API.

Refusals that any command may meet are not repeated here: `ANY`.
"""

from dataclasses import dataclass

from pydantic import BaseModel

from . import commands, replies
from .errors import (
    AppointmentCancelled,
    AskedEarlier,
    Changing,
    HoldsUnreachable,
    InvalidRequest,
    KeyReused,
    NobodyThere,
    NoPrimary,
    NoSuchAppointment,
    NoSuchHold,
    OutcomeUnknown,
    Overloaded,
    PreconditionFailed,
    Refused,
    SlotAlreadyBooked,
    SlotHeld,
)
from .instants import parse_instant

ID = "e0d5be10-2c9a-472c-80ee-1a787c88798e"
HELD_WITH = "6f1c1a52-9d5e-4b7e-8a43-0c6b3a8c7d10"
MOVE_ID = "0b6e3f0c-7d53-4d0e-b7f4-5a2f6c1d9e88"
KEY = "web-4711"
# Of the appointment above, by its slot and id.
CURSOR = "MTg5NDAwNjgwMDAwMC9lMGQ1YmUxMC0yYzlhLTQ3MmMtODBlZS0xYTc4N2M4ODc5OGU"
SITE, RESOURCES, MINUTES = "harbour", ("dr-lee", "room-2"), 30
SLOT, LATER = parse_instant("2030-01-07T09:00:00Z"), parse_instant("2030-01-07T10:30:00Z")
MADE, CHANGED = parse_instant("2029-12-01T08:15:30.123Z"), parse_instant("2029-12-02T10:00:00.456Z")
WINDOW = {"site": SITE, "resource": ["dr-lee"], "from": "2030-01-07T00:00:00Z", "to": "2030-01-08T00:00:00Z"}

ANY: tuple[Refused, ...] = (
    InvalidRequest("Unknown field colour"),
    Overloaded(),
    NobodyThere(),
    NoPrimary(),
    Changing(),
    AskedEarlier(),
    HoldsUnreachable(),
    OutcomeUnknown(),
)


@dataclass(frozen=True)
class Example:
    """A command and its answer; `refusals` are those that not any command may meet."""

    command: commands.Command
    reply: BaseModel
    refusals: tuple[type[Refused], ...] = ()
    status: int = 200


_REQUEST = commands.SlotRequest(
    slot=SLOT, patientName="Ada Lovelace", site=SITE, resources=RESOURCES, durationMinutes=MINUTES
)
_BOOKED = replies.Appointment(
    id=ID,
    site=SITE,
    resources=RESOURCES,
    slot=SLOT,
    durationMinutes=MINUTES,
    patientName="Ada Lovelace",
    status="booked",
    version=1,
    createdAt=MADE,
)
_MOVED = _BOOKED.model_copy(update={"slot": LATER, "version": 2})
_CANCELLED = _MOVED.model_copy(update={"status": "cancelled", "version": 3})
_HOLD = replies.Hold(
    token=HELD_WITH,
    site=SITE,
    resources=RESOURCES,
    slot=SLOT,
    durationMinutes=MINUTES,
    expiresAt=parse_instant("2029-12-01T08:20:30.123Z"),
)
_HISTORY = [
    replies.Change(
        version=1, type="booked", at=MADE, slot=SLOT, durationMinutes=MINUTES, resources=RESOURCES
    ),
    replies.Change(
        version=2, type="moved", at=CHANGED, slot=LATER, durationMinutes=MINUTES, resources=RESOURCES
    ),
]

EXAMPLES: dict[type[commands.Command], Example] = {
    type(example.command): example
    for example in (
        Example(
            commands.BookAppointment(**_REQUEST.__dict__ | {"idempotencyKey": KEY}),
            replies.BookingConfirmed(appointment=_BOOKED),
            (SlotAlreadyBooked, SlotHeld, AppointmentCancelled, KeyReused),
            status=201,
        ),
        Example(
            commands.MoveAppointment(id=ID, slot=LATER, moveId=MOVE_ID, ifVersion=1),
            replies.BookingMoved(appointment=_MOVED),
            (
                NoSuchAppointment,
                SlotAlreadyBooked,
                SlotHeld,
                AppointmentCancelled,
                PreconditionFailed,
                KeyReused,
            ),
        ),
        Example(
            commands.CancelAppointment(id=ID, ifVersion=2),
            replies.BookingCancelled(appointment=_CANCELLED),
            (NoSuchAppointment, PreconditionFailed),
        ),
        Example(
            commands.GetAppointment(id=ID),
            replies.AppointmentFound(appointment=_BOOKED),
            (NoSuchAppointment,),
        ),
        Example(commands.GetHistory(id=ID), replies.HistoryFound(history=_HISTORY), (NoSuchAppointment,)),
        Example(
            commands.ListAppointments.model_validate(WINDOW),
            replies.AppointmentsFound(appointments=[_BOOKED], next=CURSOR),
        ),
        Example(
            commands.ListSlots.model_validate(WINDOW),
            replies.SlotsFound.model_validate(
                {
                    **{name: value for name, value in WINDOW.items() if name != "resource"},
                    "taken": [
                        replies.TakenSlot(
                            resource="dr-lee", slot=SLOT, durationMinutes=MINUTES, state="booked"
                        ),
                        replies.TakenSlot(
                            resource="dr-lee", slot=LATER, durationMinutes=MINUTES, state="held"
                        ),
                    ],
                    "holds": "known",
                }
            ),
        ),
        Example(
            commands.AskGrid(),
            replies.GridFound(slotMinutes=5, longestMinutes=1440, mostResources=8, mostClaims=600),
        ),
        Example(
            commands.PlaceHold(**_REQUEST.__dict__ | {"holdToken": HELD_WITH}),
            replies.HoldPlaced(message="Slot held for 5 minutes", hold=_HOLD),
            (SlotAlreadyBooked, SlotHeld),
        ),
        Example(
            commands.ReleaseHold(holdToken=HELD_WITH, site=SITE),
            replies.HoldReleased(),
            (NoSuchHold,),
        ),
        Example(commands.AskReady(), replies.Readiness(ready=True, checks={"mongodb": "ok", "redis": "ok"})),
    )
}


def refusal_of(kind: type[Refused]) -> Refused:
    """An example of a refusal."""
    return kind(appointment=_CANCELLED) if kind is AppointmentCancelled else kind()


def as_json(model: BaseModel, model_as: type[BaseModel] | None = None) -> dict[str, object]:
    """A command or a reply as it is sent; of a command, the fields that `model_as` has."""
    body: dict[str, object] = model.model_dump(mode="json", exclude_none=True)
    return {name: value for name, value in body.items() if not model_as or name in model_as.model_fields}
