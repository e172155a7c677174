"""Build operations, rows and histories for the checker's own tests."""

from dataclasses import replace

from tests.callers import Kind
from tests.proof.checker.model import BOOKED
from tests.proof.checker.state import attendance_of
from tests.proof.faults.history import History, Operation, Outcome, Row
from tests.proof.faults.places import BookingState, Change, Place

SITE = "clinic"
RESOURCES = ("dr-who",)
SLOT = "2031-05-04T09:00:00.000Z"
STATUS: dict[Outcome, int] = {"ok": 200, "refused": 409, "not_executed": 503, "unknown": 504}


def asked(
    kind: Kind,
    patient: str,
    invoked: float,
    returned: float | None,
    *,
    outcome: Outcome = "ok",
    key: str | None = None,
    token: str | None = None,
    site: str = SITE,
    resources: tuple[str, ...] = RESOURCES,
    slot: str = SLOT,
    status: int | None = None,
    error: str | None = None,
    id: str | None = None,
    replayed: bool = False,
    expires: float | None = None,
    deadline: float | None = None,
    sent: float | None = None,
    move_id: str | None = None,
    told: BookingState | None = None,
    changes: tuple[Change, ...] | None = None,
) -> Operation:
    """Build an operation; `record` numbers it."""
    if status is None:
        status = 201 if (kind, outcome) == ("book", "ok") else STATUS[outcome]
    return Operation(
        number=0,
        client="caller",
        kind=kind,
        via="http",
        site=site,
        resources=resources,
        slot=slot,
        patient=patient,
        key=key,
        token=token,
        invoked=invoked,
        returned=returned,
        outcome=outcome,
        status=status,
        error=error,
        appointment_id=id,
        replayed=replayed,
        expires=expires,
        deadline=deadline,
        asked=sent,
        move_id=move_id,
        told=told,
        changes=changes,
    )


def booked(patient: str, invoked: float, returned: float, *, replayed: bool = False) -> Operation:
    """A confirmed booking under the patient's own key; its id is the patient's name in lower case."""
    key = f"key-{patient}"
    return asked("book", patient, invoked, returned, key=key, id=patient.lower(), replayed=replayed)


def refused(patient: str, invoked: float, returned: float, error: str = BOOKED) -> Operation:
    return asked("book", patient, invoked, returned, key=f"key-{patient}", outcome="refused", error=error)


def lost(patient: str, invoked: float) -> Operation:
    """A booking whose answer never arrived."""
    return asked("book", patient, invoked, None, key=f"key-{patient}", outcome="unknown")


def held(patient: str, invoked: float, returned: float, expires: float) -> Operation:
    return asked("hold", patient, invoked, returned, token=f"token-{patient}", expires=expires)


def not_granted(hold: Operation) -> Operation:
    """The hold with a 503: it may stand for a moment."""
    return replace(hold, outcome="not_executed", status=503, expires=None)


def read(id: str, invoked: float, returned: float, *, found: bool = True) -> Operation:
    outcome: Outcome = "ok" if found else "refused"
    return asked("get", "", invoked, returned, id=id, outcome=outcome, status=200 if found else 404)


def cancelled(patient: str, invoked: float, returned: float | None) -> Operation:
    """A cancel of the patient's booking; its outcome is unknown if `returned` is None."""
    return asked("cancel", patient, invoked, returned, id=patient.lower())


def erased(patient: str, invoked: float, returned: float | None) -> Operation:
    """An erasure of the patient's name; its outcome is unknown if `returned` is None."""
    return asked("erase", patient, invoked, returned, id=patient.lower())


def amended(patient: str, attendance: str, invoked: float, returned: float | None) -> Operation:
    """An amendment of the patient's booking; its outcome is unknown if `returned` is None."""
    noted = asked("amend", patient, invoked, returned, id=patient.lower())
    return replace(noted, attendance=attendance)


def moved(patient: str, resources: str, invoked: float, returned: float | None, id: str = "m") -> Operation:
    """A move of the patient's booking to other resources, one letter each, at the same instant."""
    to = tuple(resources)
    return asked("move", patient, invoked, returned, id=patient.lower(), resources=to, slot="", move_id=id)


def telling(
    operation: Operation,
    resources: str,
    status: str = "booked",
    *,
    named: bool = True,
    attendance: str | None = None,
) -> Operation:
    """The operation with an answer that shows the booking at these resources with this status."""
    return replace(operation, told=BookingState(at(resources), status, named, attendance))


def history(patient: str, invoked: float, returned: float, *entries: Change) -> Operation:
    return asked("history", patient, invoked, returned, id=patient.lower(), changes=entries)


def entries(*changes: str) -> tuple[Change, ...]:
    """Parse changes such as `booked a`, `moved ab m1`, `attendance ab missed`, `cancelled ab`."""
    words = [change.split() for change in changes]
    return tuple(
        Change(type, at(resources), version, attendance=more[0])  # type: ignore[arg-type]
        if type == "attendance"
        else Change(type, at(resources), version, *more)  # type: ignore[arg-type]
        for version, (type, resources, *more) in enumerate(words, start=1)
    )


def at(resources: str) -> Place:
    return Place(SITE, tuple(resources), SLOT)


def stored(patient: str, *changes: str) -> Row:
    """The row of a booking with that history."""
    told = entries(*changes)
    types = [each.type for each in told]
    first = row(patient, told[-1].place.resources)
    return replace(
        first,
        patient=None if "erased" in types else patient,
        status="cancelled" if "cancelled" in types else "booked",
        attendance=attendance_of(told),
        history=told,
        version=len(told),
        stored=told[-1].place.claims,
    )


def row(patient: str, resources: tuple[str, ...] = RESOURCES) -> Row:
    """The row that `booked` or `lost` leaves."""
    return Row(patient.lower(), SITE, resources, SLOT, patient, f"key-{patient}", "booked")


def of(resources: str, operation: Operation) -> Operation:
    """The operation with other resources, one letter each."""
    return replace(operation, resources=tuple(resources))


def record(*operations: Operation, rows: tuple[Row, ...] = ()) -> History:
    """Number the operations, and return them with the rows as a history."""
    return History(tuple(replace(each, number=n) for n, each in enumerate(operations, start=1)), rows)
