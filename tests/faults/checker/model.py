"""Claims as they ought to be: free, or owned by one booking. What an answer says of them is said only here.

A new kind of operation (cancel, move) is a case in `apply` and `is_never_true` and, if its answer may be
lost, in `may_take_effect`. The search relies on one property: what is owned stays owned. So an operation
that changes nothing in a state changes nothing in any later one (a booking is made once).
"""

from collections.abc import Set
from dataclasses import dataclass, replace
from functools import cached_property

from tests.faults.history import Claim, Operation

# Written out, not imported: a service that changes its sentences must not change the judge's.
BOOKED = "Slot already booked"
HELD = "Slot is currently held by another user"


@dataclass(frozen=True)
class Ownership:
    """The state: each claim that is owned, with the id of the booking that owns it."""

    owned: frozenset[tuple[Claim, str | None]] = frozenset()

    def of(self, operation: Operation) -> Set[str | None]:
        """Who owns what the operation is about; None stands for claims that are free."""
        return {self._owners.get(claim) for claim in operation.claims}

    def within(self, claims: Set[Claim]) -> "Ownership":
        return Ownership(frozenset(each for each in self.owned if each[0] in claims))

    def with_booking(self, booking: Operation) -> "Ownership":
        return Ownership(self.owned | {(claim, booking.appointment_id) for claim in booking.claims})

    @cached_property
    def _owners(self) -> dict[Claim, str | None]:
        return dict(self.owned)


FREE = Ownership()


def apply(state: Ownership, operation: Operation) -> Ownership | None:
    """The state after the operation, or None if the operation's answer is false in this state."""
    id, owners = operation.appointment_id, state.of(operation)
    if may_take_effect(operation) and owners == {None}:
        return state.with_booking(operation)
    if operation.kind == "book" and operation.ok:
        return state if owners == {id} and operation.replayed else None
    if refused_as_booked(operation):
        return state if owners - {None, id} else None
    if refused_as_held(operation):  # booked wins over held
        return state if owners == {None} else None
    if operation.kind == "get" and operation.ok:
        return state if owners == {id} else None
    if not_found(operation):
        return state if owners != {id} else None
    return state


def is_never_true(state: Ownership, operation: Operation) -> bool:
    """Whether the operation's answer is false in this state and in any that can follow."""
    id, owners = operation.appointment_id, state.of(operation)
    taken = owners - {None}
    if operation.kind == "book" and operation.ok:
        return bool(taken - {id} if operation.replayed else taken)
    if operation.kind == "get" and operation.ok:
        return bool(taken - {id})
    if refused_as_held(operation):
        return bool(taken)
    own = id is not None and owners == {id}
    return own and (refused_as_booked(operation) or not_found(operation))


def refused_as_booked(operation: Operation) -> bool:
    return operation.refused and operation.error == BOOKED


def refused_as_held(operation: Operation) -> bool:
    return operation.refused and operation.error == HELD


def not_found(operation: Operation) -> bool:
    return operation.kind == "get" and operation.refused and operation.status == 404


def may_take_effect(operation: Operation) -> bool:
    """Whether the operation may have made a booking."""
    return operation.kind == "book" and (operation.ok or operation.unknown)


def relaxed(operation: Operation) -> Operation:
    """The operation with its answer lost: it may take effect at any time after its invocation, or never."""
    return replace(operation, outcome="unknown", returned=None)
