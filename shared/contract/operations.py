"""The operations of the service. Clients, workers, routes and documents are derived from these values."""

from typing import Any

from pydantic import BaseModel

from . import commands, examples, replies
from .caller import Scope
from .errors import (
    AppointmentCancelled,
    AskedEarlier,
    Changing,
    HoldsUnreachable,
    InvalidRequest,
    KeyReused,
    NameErased,
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
    SlotNotOffered,
    TooLateToChange,
    TooManyBookings,
    TooManyHolds,
)
from .headers import APPOINTMENT_TOKEN, ERASED, ETAG, REPLAYED
from .operation import BOOKING_GROUP, HOLD_GROUP, Call, Operation
from .schedule_operations import SCHEDULE_OPERATIONS, SLOTS

APPOINTMENTS, HOLDS = "appointments", "holds"

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
"""Refusals that any command may get. The operations list only the refusals of their own."""

BOOK = Operation(
    subject="booking.v1.book",
    group=BOOKING_GROUP,
    example=commands.BookAppointment(**examples.REQUEST, idempotencyKey="web-4711"),
    answer=replies.BookingConfirmed(appointment=examples.BOOKED),
    status=201,
    key="idempotencyKey",
    batched=True,
    refusals=(SlotAlreadyBooked, SlotHeld, SlotNotOffered, AppointmentCancelled, KeyReused, TooManyBookings),
    http=Call(
        "bookAppointment",
        "POST",
        "/api/book-appointment",
        APPOINTMENTS,
        "Book a slot",
        """Of concurrent requests for a slot, exactly one gets 201.

Send an `Idempotency-Key`, a new one for every booking. Then a retry is always safe.""",
        body=commands.SlotRequest,
        key=True,
        answers=(REPLAYED, ETAG, APPOINTMENT_TOKEN, ERASED),
        scope=Scope.BOOK,
    ),
)
MOVE = Operation(
    subject="booking.v1.move",
    group=BOOKING_GROUP,
    example=commands.MoveAppointment(
        id=examples.ID, slot=examples.LATER, moveId=examples.MOVE_ID, ifVersion=1
    ),
    answer=replies.BookingMoved(appointment=examples.MOVED),
    key="moveId",
    batched=True,
    refusals=(
        NoSuchAppointment,
        SlotAlreadyBooked,
        SlotHeld,
        SlotNotOffered,
        AppointmentCancelled,
        TooLateToChange,
        PreconditionFailed,
        KeyReused,
        TooManyBookings,
    ),
    http=Call(
        "moveAppointment",
        "PATCH",
        "/api/appointments/{id}",
        APPOINTMENTS,
        "Move an appointment",
        """Change slot, duration, resources or service. Fields that are not sent keep their value.

The id stays the same. If the target is taken, the appointment stays where it is; otherwise its old slot is
free at the same instant. A move to the current place is 200. Send an `Idempotency-Key`, a new one for every
move: then a late retry does not move the appointment back. With `If-Match`, the move needs that version.""",
        body=commands.MoveRequest,
        key=True,
        answers=(ETAG,),
        scope=Scope.MOVE,
    ),
)
CANCEL = Operation(
    subject="booking.v1.cancel",
    group=BOOKING_GROUP,
    example=commands.CancelAppointment(id=examples.ID, ifVersion=2),
    answer=replies.BookingCancelled(appointment=examples.CANCELLED),
    batched=True,
    refusals=(NoSuchAppointment, TooLateToChange, PreconditionFailed),
    http=Call(
        "cancelAppointment",
        "DELETE",
        "/api/appointments/{id}",
        APPOINTMENTS,
        "Cancel an appointment",
        """Its claims are free at that instant. It can still be read. A retry gets the same answer.

With `If-Match`, the cancel needs that version; a retry of it gets 200 too.""",
        answers=(ETAG,),
        scope=Scope.CANCEL,
    ),
)
AMEND = Operation(
    subject="booking.v1.amend",
    group=BOOKING_GROUP,
    example=commands.AmendAppointment(id=examples.ID, attendance="arrived", ifVersion=2),
    answer=replies.BookingAmended(appointment=examples.AMENDED),
    key="amendId",
    refusals=(NoSuchAppointment, AppointmentCancelled, NameErased, PreconditionFailed),
    http=Call(
        "amendAppointment",
        "PATCH",
        "/api/appointments/{id}",
        APPOINTMENTS,
        "Correct the name, note the attendance",
        """With `patientName` or `attendance` in place of these fields, the appointment stays where it is.

A change to what is there already is 200. It takes no `Idempotency-Key`: send `If-Match`, so that a late retry
does not undo a later change.""",
        body=commands.AmendRequest,
        answers=(ETAG,),
        field_scopes=(("patientName", Scope.NAMES), ("attendance", Scope.MOVE)),
    ),
)
GET = Operation(
    subject="booking.v1.get",
    group=BOOKING_GROUP,
    example=commands.GetAppointment(id=examples.ID),
    answer=replies.AppointmentFound(appointment=examples.BOOKED),
    reads=True,
    refusals=(NoSuchAppointment,),
    http=Call(
        "getAppointment",
        "GET",
        "/api/appointments/{id}",
        APPOINTMENTS,
        "Read an appointment",
        "The current state, also of a moved or cancelled appointment.",
        answers=(ETAG,),
        scope=Scope.READ,
    ),
)
HISTORY = Operation(
    subject="booking.v1.history",
    group=BOOKING_GROUP,
    example=commands.GetHistory(id=examples.ID),
    answer=replies.HistoryFound(history=examples.HISTORY),
    reads=True,
    refusals=(NoSuchAppointment,),
    http=Call(
        "getHistory",
        "GET",
        "/api/appointments/{id}/history",
        APPOINTMENTS,
        "Read an appointment's history",
        "Its changes, the oldest first: `booked`, then at most the 99 latest.",
        scope=Scope.READ,
    ),
)
LIST = Operation(
    subject="booking.v1.list",
    group=BOOKING_GROUP,
    example=commands.ListAppointments.model_validate(examples.WINDOW),
    answer=replies.AppointmentsFound(appointments=[examples.BOOKED], next=examples.CURSOR),
    reads=True,
    page=True,
    http=Call(
        "listAppointments",
        "GET",
        "/api/appointments",
        APPOINTMENTS,
        "List appointments",
        """A page of booked appointments that overlap a window, by slot and id, of some resources or the site.

Send `next` of a page as `cursor` to get the next page. The last page has no `next`.""",
        scope=Scope.READ,
    ),
)
LIST_SLOTS = Operation(
    subject="booking.v1.slots",
    group=BOOKING_GROUP,
    example=commands.ListSlots.model_validate(examples.WINDOW),
    answer=replies.SlotsFound.model_validate({**examples.DAY, "taken": examples.TAKEN, "holds": "known"}),
    reads=True,
    page=True,
    http=Call(
        "listSlots",
        "GET",
        "/api/slots",
        SLOTS,
        "List what is taken",
        """A page of the booked and held cells in a window, by slot and resource, without names.

If `holds` is `unknown`, Redis does not answer, and the page has the booked cells only.

Send `next` of a page as `cursor` to get the next page. The last page has no `next`.""",
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
        """The width of a cell, counted from the Unix epoch, and the limits of one booking.

A booking may begin at any instant. Two bookings conflict if they touch the same cell of a resource. If
`slotMinutes` is 0, every instant is a cell, and a duration is refused.""",
    ),
)
PLACE = Operation(
    subject="hold.v1.place",
    group=HOLD_GROUP,
    example=commands.PlaceHold(**examples.REQUEST, holdToken=examples.TOKEN),
    answer=replies.HoldPlaced(message="Slot held for 5 minutes", hold=examples.HOLD),
    key="holdToken",
    batched=True,
    refusals=(SlotAlreadyBooked, SlotHeld, SlotNotOffered, TooManyHolds),
    http=Call(
        "holdAppointment",
        "POST",
        "/api/hold-appointment",
        HOLDS,
        "Hold a slot",
        """Reserve a slot while its patient checks out, or extend the hold with this `holdToken`.

Send a `holdToken` of your own, a random UUID. Then a retry is safe.""",
        body=commands.PlaceHold,
        scope=Scope.HOLD,
    ),
)
RELEASE = Operation(
    subject="hold.v1.release",
    group=HOLD_GROUP,
    example=commands.ReleaseHold(holdToken=examples.TOKEN, site=examples.SITE),
    answer=replies.HoldReleased(),
    refusals=(NoSuchHold,),
    done_before=NoSuchHold,
    http=Call(
        "releaseHold",
        "POST",
        "/api/release-hold",
        HOLDS,
        "Release a hold",
        "End the hold with this token in its site; with a `slot`, only if the token holds that slot.",
        body=commands.ReleaseHold,
        scope=Scope.HOLD,
    ),
)
BOOKING_READY = Operation(
    subject="booking.v1.ready", group=None, example=commands.AskReady(), answer=examples.READY, reads=True
)
HOLD_READY = Operation(
    subject="hold.v1.ready", group=None, example=commands.AskReady(), answer=examples.READY, reads=True
)

OPERATIONS: tuple[Operation[Any, Any], ...] = (
    BOOK,
    MOVE,
    CANCEL,
    AMEND,
    GET,
    HISTORY,
    LIST,
    LIST_SLOTS,
    GRID,
    PLACE,
    RELEASE,
    *SCHEDULE_OPERATIONS,
    BOOKING_READY,
    HOLD_READY,
)


def refusal_of(kind: type[Refused]) -> Refused:
    """Return an example of a refusal."""
    return kind(appointment=examples.CANCELLED) if kind is AppointmentCancelled else kind()


def as_json(model: BaseModel, model_as: type[BaseModel] | None = None) -> dict[str, object]:
    """Return a command or reply as JSON; with `model_as`, only the fields of that model."""
    body: dict[str, object] = model.model_dump(mode="json", exclude_none=True)
    return {name: value for name, value in body.items() if not model_as or name in model_as.model_fields}
