"""A slot as it ought to be: free, or owned by one booking. What an answer claims about it is said only here.

A new kind of operation (cancel, move) is a case in `apply` and, if its answer may be lost, in
`may_take_effect`; a fact that it needs is a field of `Slot`. The search relies on one property: an
operation that changes nothing in a state changes nothing in any later one (a booking is made once).
"""

from dataclasses import dataclass, replace

from tests.faults.history import Operation

# Written out, not imported: a service that changes its sentences must not change the judge's.
BOOKED = "Slot already booked"
HELD = "Slot is currently held by another user"


@dataclass(frozen=True)
class Slot:
    """The state: the id of the booking that owns the slot."""

    owner: str | None = None


FREE = Slot()


def apply(slot: Slot, operation: Operation) -> Slot | None:
    """The slot after the operation, or None if the operation's answer is false in this state."""
    id = operation.appointment_id
    if operation.kind == "book" and operation.unknown:
        return Slot(owner=id) if slot == FREE else slot
    if operation.kind == "book" and operation.ok:
        if slot == FREE:
            return Slot(owner=id)
        return slot if slot.owner == id and operation.replayed else None
    if refused_as_booked(operation):
        return slot if slot.owner not in (None, id) else None
    if operation.kind == "get" and operation.ok:
        return slot if slot.owner == id else None
    if operation.kind == "get" and operation.refused and operation.status == 404:
        return slot if slot.owner != id else None
    return slot


def refused_as_booked(operation: Operation) -> bool:
    return operation.refused and operation.error == BOOKED


def may_take_effect(operation: Operation) -> bool:
    """Whether the operation may have changed the slot."""
    return operation.kind == "book" and (operation.ok or operation.unknown)


def relaxed(operation: Operation) -> Operation:
    """The operation with its answer lost: it may take effect at any time after its invocation, or never."""
    return replace(operation, outcome="unknown", returned=None)
