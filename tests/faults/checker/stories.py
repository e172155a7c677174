"""Operations written by hand, for the checker's own tests."""

from dataclasses import replace

from tests.faults.checker.model import BOOKED
from tests.faults.history import History, Kind, Operation, Outcome, Row

SITE = "clinic"
RESOURCES = ("dr-who",)
SLOT = "2031-05-04T09:00:00.000Z"
STATUS: dict[tuple[Kind, Outcome], int] = {
    ("book", "ok"): 201,
    ("book", "refused"): 409,
    ("hold", "ok"): 200,
    ("hold", "refused"): 409,
    ("get", "ok"): 200,
    ("get", "refused"): 404,
}


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
) -> Operation:
    """An operation; `story` numbers it."""
    if status is None:
        status = {"not_executed": 503, "unknown": 504}.get(outcome) or STATUS[kind, outcome]
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
    )


def booked(patient: str, invoked: float, returned: float, *, replayed: bool = False) -> Operation:
    """A confirmed booking under the patient's own key; its id is the patient's name in lower case."""
    key = f"key-{patient}"
    return asked("book", patient, invoked, returned, key=key, id=patient.lower(), replayed=replayed)


def refused(patient: str, invoked: float, returned: float, error: str = BOOKED) -> Operation:
    return asked("book", patient, invoked, returned, key=f"key-{patient}", outcome="refused", error=error)


def lost(patient: str, invoked: float) -> Operation:
    """A booking whose answer never came."""
    return asked("book", patient, invoked, None, key=f"key-{patient}", outcome="unknown")


def held(patient: str, invoked: float, returned: float, expires: float) -> Operation:
    return asked("hold", patient, invoked, returned, token=f"token-{patient}", expires=expires)


def read(id: str, invoked: float, returned: float, *, found: bool = True) -> Operation:
    return asked("get", "", invoked, returned, id=id, outcome="ok" if found else "refused")


def row(patient: str, resources: tuple[str, ...] = RESOURCES) -> Row:
    """What `booked` or `lost` leaves behind."""
    return Row(patient.lower(), SITE, resources, SLOT, patient, f"key-{patient}", "booked")


def of(resources: str, operation: Operation) -> Operation:
    """The operation with other resources, a letter each."""
    return replace(operation, resources=tuple(resources))


def story(*operations: Operation, rows: tuple[Row, ...] = ()) -> History:
    return History(tuple(replace(each, number=n) for n, each in enumerate(operations, start=1)), rows)
