"""The operations of the service. Clients, workers, routes and documents are made of these values.

The examples are one story: Ada Lovelace's appointment, which is booked, moved and cancelled.
"""

from typing import Any

from pydantic import BaseModel

from . import commands, replies
from .errors import (
    AppointmentCancelled,
    AskedEarlier,
    Changing,
    HoldsUnreachable,
    InvalidRequest,
    KeyReused,
    NoPrimary,
    NoResponders,
    NoSuchAppointment,
    NoSuchHold,
    OutcomeUnknown,
    Overloaded,
    PreconditionFailed,
    Refused,
    SlotAlreadyBooked,
    SlotHeld,
)
from .headers import ETAG, REPLAYED
from .instants import parse_instant
from .operation import Call, Operation

BOOKING_GROUP, HOLD_GROUP = "booking_worker", "hold_worker"
"""Queue groups: a command goes to one worker of its group."""

APPOINTMENTS, HOLDS, SLOTS = "appointments", "holds", "slots"

ANY: tuple[Refused, ...] = (
    InvalidRequest("Unknown field colour"),
    Overloaded(),
    NoResponders(),
    NoPrimary(),
    Changing(),
    AskedEarlier(),
    HoldsUnreachable(),
    OutcomeUnknown(),
)
"""Refusals that any command may meet; operations do not repeat them."""

_ID = "e0d5be10-2c9a-472c-80ee-1a787c88798e"
_TOKEN = "6f1c1a52-9d5e-4b7e-8a43-0c6b3a8c7d10"  # noqa: S105 - an example of a hold's token
_MOVE_ID = "0b6e3f0c-7d53-4d0e-b7f4-5a2f6c1d9e88"
# Of the appointment above, by its slot and id.
_CURSOR = "MTg5NDAwNjgwMDAwMC9lMGQ1YmUxMC0yYzlhLTQ3MmMtODBlZS0xYTc4N2M4ODc5OGU"
_SITE, _RESOURCES, _MINUTES = "harbour", ("dr-lee", "room-2"), 30
_SLOT, _LATER = parse_instant("2030-01-07T09:00:00Z"), parse_instant("2030-01-07T10:30:00Z")
_MADE, _CHANGED = parse_instant("2029-12-01T08:15:30.123Z"), parse_instant("2029-12-02T10:00:00.456Z")
_DAY = {"site": _SITE, "from": "2030-01-07T00:00:00Z", "to": "2030-01-08T00:00:00Z"}
_WINDOW = {**_DAY, "resource": ["dr-lee"]}
_WANTED: dict[str, Any] = {
    "slot": _SLOT,
    "patientName": "Ada Lovelace",
    "site": _SITE,
    "resources": _RESOURCES,
    "durationMinutes": _MINUTES,
}
_BOOKED = replies.Appointment(**_WANTED, id=_ID, status="booked", version=1, createdAt=_MADE)
_MOVED = _BOOKED.model_copy(update={"slot": _LATER, "version": 2})
_CANCELLED = _MOVED.model_copy(update={"status": "cancelled", "version": 3})
_HOLD = replies.Hold(
    token=_TOKEN,
    site=_SITE,
    resources=_RESOURCES,
    slot=_SLOT,
    durationMinutes=_MINUTES,
    expiresAt=parse_instant("2029-12-01T08:20:30.123Z"),
)
_HISTORY = [
    replies.Change(
        version=1, type="booked", at=_MADE, slot=_SLOT, durationMinutes=_MINUTES, resources=_RESOURCES
    ),
    replies.Change(
        version=2, type="moved", at=_CHANGED, slot=_LATER, durationMinutes=_MINUTES, resources=_RESOURCES
    ),
]
_TAKEN = [
    replies.TakenSlot(resource="dr-lee", slot=_SLOT, durationMinutes=_MINUTES, state="booked"),
    replies.TakenSlot(resource="dr-lee", slot=_LATER, durationMinutes=_MINUTES, state="held"),
]

BOOK = Operation(
    subject="booking.v1.book",
    group=BOOKING_GROUP,
    example=commands.BookAppointment(**_WANTED, idempotencyKey="web-4711"),
    answer=replies.BookingConfirmed(appointment=_BOOKED),
    status=201,
    key="idempotencyKey",
    batched=True,
    refusals=(SlotAlreadyBooked, SlotHeld, AppointmentCancelled, KeyReused),
    http=Call(
        "bookAppointment",
        "POST",
        "/api/book-appointment",
        APPOINTMENTS,
        "Book a slot",
        """Of all who ask for a slot, exactly one gets 201.

Send an `Idempotency-Key`, another for each booking that you want: then repeating is always safe.""",
        body=commands.SlotRequest,
        key=True,
        answers=(REPLAYED, ETAG),
    ),
)
MOVE = Operation(
    subject="booking.v1.move",
    group=BOOKING_GROUP,
    example=commands.MoveAppointment(id=_ID, slot=_LATER, moveId=_MOVE_ID, ifVersion=1),
    answer=replies.BookingMoved(appointment=_MOVED),
    key="moveId",
    batched=True,
    refusals=(
        NoSuchAppointment,
        SlotAlreadyBooked,
        SlotHeld,
        AppointmentCancelled,
        PreconditionFailed,
        KeyReused,
    ),
    http=Call(
        "moveAppointment",
        "PATCH",
        "/api/appointments/{id}",
        APPOINTMENTS,
        "Move an appointment",
        """It gets another slot, duration or resources; what is not sent stays as it is.

Its id stays. Where the target is taken, it stays where it was; else what it leaves is free at that
instant. Moving it to where it is already is 200 as well. Send an `Idempotency-Key`, another for each
move that you want: then a late repeat does not move it back. With `If-Match` it is moved only if it
has that version.""",
        body=commands.MoveRequest,
        key=True,
        answers=(ETAG,),
    ),
)
CANCEL = Operation(
    subject="booking.v1.cancel",
    group=BOOKING_GROUP,
    example=commands.CancelAppointment(id=_ID, ifVersion=2),
    answer=replies.BookingCancelled(appointment=_CANCELLED),
    batched=True,
    refusals=(NoSuchAppointment, PreconditionFailed),
    http=Call(
        "cancelAppointment",
        "DELETE",
        "/api/appointments/{id}",
        APPOINTMENTS,
        "Cancel an appointment",
        """What it claimed is free at that instant; it can still be read. Repeats get the same.

With `If-Match` it is cancelled only if it has that version; a repeat of that gets 200 too.""",
        answers=(ETAG,),
    ),
)
GET = Operation(
    subject="booking.v1.get",
    group=BOOKING_GROUP,
    example=commands.GetAppointment(id=_ID),
    answer=replies.AppointmentFound(appointment=_BOOKED),
    reads=True,
    refusals=(NoSuchAppointment,),
    http=Call(
        "getAppointment",
        "GET",
        "/api/appointments/{id}",
        APPOINTMENTS,
        "Read an appointment",
        "As it stands: moved and cancelled ones too.",
        answers=(ETAG,),
    ),
)
HISTORY = Operation(
    subject="booking.v1.history",
    group=BOOKING_GROUP,
    example=commands.GetHistory(id=_ID),
    answer=replies.HistoryFound(history=_HISTORY),
    reads=True,
    refusals=(NoSuchAppointment,),
    http=Call(
        "getHistory",
        "GET",
        "/api/appointments/{id}/history",
        APPOINTMENTS,
        "Read an appointment's history",
        "Its changes, the oldest first: `booked`, and then at most the 99 latest.",
    ),
)
LIST = Operation(
    subject="booking.v1.list",
    group=BOOKING_GROUP,
    example=commands.ListAppointments.model_validate(_WINDOW),
    answer=replies.AppointmentsFound(appointments=[_BOOKED], next=_CURSOR),
    reads=True,
    page=True,
    http=Call(
        "listAppointments",
        "GET",
        "/api/appointments",
        APPOINTMENTS,
        "List appointments",
        """A page of the booked ones that overlap a window: of some resources or the site, by slot and id.

What a page says in `next` is the `cursor` of the page after it; without `next` it is the last.""",
    ),
)
LIST_SLOTS = Operation(
    subject="booking.v1.slots",
    group=BOOKING_GROUP,
    example=commands.ListSlots.model_validate(_WINDOW),
    answer=replies.SlotsFound.model_validate({**_DAY, "taken": _TAKEN, "holds": "known"}),
    reads=True,
    page=True,
    http=Call(
        "listSlots",
        "GET",
        "/api/slots",
        SLOTS,
        "List what is taken",
        """A page of what is booked or held in a window: whole cells, by slot and resource, without names.

With `holds` unknown, Redis does not answer, and the page has what is booked.

What a page says in `next` is the `cursor` of the page after it; without `next` it is the last.""",
    ),
)
GRID = Operation(
    subject="booking.v1.grid",
    group=BOOKING_GROUP,
    example=commands.AskGrid(),
    answer=replies.GridFound(slotMinutes=5, longestMinutes=1440, mostResources=8, mostClaims=600),
    reads=True,
    http=Call(
        "getGrid",
        "GET",
        "/api/grid",
        SLOTS,
        "Read the grid",
        """How wide a cell is, counted from the Unix epoch, and how much one booking may have.

A booking may begin at any instant. Two that touch the same cell of a resource conflict. Where
`slotMinutes` is 0, each instant is a cell by itself, and no duration may be sent.""",
    ),
)
PLACE = Operation(
    subject="hold.v1.place",
    group=HOLD_GROUP,
    example=commands.PlaceHold(**_WANTED, holdToken=_TOKEN),
    answer=replies.HoldPlaced(message="Slot held for 5 minutes", hold=_HOLD),
    key="holdToken",
    batched=True,
    refusals=(SlotAlreadyBooked, SlotHeld),
    http=Call(
        "holdAppointment",
        "POST",
        "/api/hold-appointment",
        HOLDS,
        "Hold a slot",
        """The slot is kept while its patient checks out, or the hold that `holdToken` names is extended.

Send a `holdToken` of your own, a random UUID: then repeating is safe.""",
        body=commands.PlaceHold,
    ),
)
RELEASE = Operation(
    subject="hold.v1.release",
    group=HOLD_GROUP,
    example=commands.ReleaseHold(holdToken=_TOKEN, site=_SITE),
    answer=replies.HoldReleased(),
    refusals=(NoSuchHold,),
    done_before=NoSuchHold,
    http=Call(
        "releaseHold",
        "POST",
        "/api/release-hold",
        HOLDS,
        "Release a hold",
        "End a hold by its token, on all that it has in its site; with a `slot`, only if it holds that.",
        body=commands.ReleaseHold,
    ),
)
_READY = replies.Readiness(ready=True, checks={"mongodb": "ok", "redis": "ok"})
BOOKING_READY = Operation(
    subject="booking.v1.ready", group=None, example=commands.AskReady(), answer=_READY, reads=True
)
HOLD_READY = Operation(
    subject="hold.v1.ready", group=None, example=commands.AskReady(), answer=_READY, reads=True
)

OPERATIONS: tuple[Operation[Any, Any], ...] = (
    BOOK,
    MOVE,
    CANCEL,
    GET,
    HISTORY,
    LIST,
    LIST_SLOTS,
    GRID,
    PLACE,
    RELEASE,
    BOOKING_READY,
    HOLD_READY,
)


def refusal_of(kind: type[Refused]) -> Refused:
    """An example of a refusal."""
    return kind(appointment=_CANCELLED) if kind is AppointmentCancelled else kind()


def as_json(model: BaseModel, model_as: type[BaseModel] | None = None) -> dict[str, object]:
    """A command or a reply as it is sent; of a command, the fields that `model_as` has."""
    body: dict[str, object] = model.model_dump(mode="json", exclude_none=True)
    return {name: value for name, value in body.items() if not model_as or name in model_as.model_fields}
