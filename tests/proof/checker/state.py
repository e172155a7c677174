"""The bookings at one moment of an order, each with its history, and the owners of claims."""

from collections.abc import Set
from dataclasses import dataclass
from functools import cached_property

from tests.proof.faults.history import Operation
from tests.proof.faults.places import BookingState, Change, Claim, Place

Changes = tuple[Change, ...]


@dataclass(frozen=True)
class State:
    """The bookings made so far, by id, each with its changes.

    `no_op_moves` has the moves that were executed and changed nothing: pairs of booking id and move id.
    """

    bookings: frozenset[tuple[str, Changes]] = frozenset()
    no_op_moves: frozenset[tuple[str, str]] = frozenset()

    def changes(self, id: str | None) -> Changes:
        return self._by_id.get(id or "", ())

    def owners(self, id: str | None, claims: Set[Claim]) -> set[str]:
        """Return the owners of any of the claims, except this booking."""
        return {owner for claim in claims if (owner := self._owners.get(claim)) and owner != id}

    def within(self, things: Set[tuple[str, ...]]) -> "State":
        """Return the part of the state that concerns these objects: claims, and `("id", an id)`."""
        near = {id for id, _ in self.bookings if ("id", id) in things}
        near |= {owner for claim, owner in self._owners.items() if claim in things}
        if len(near) == len(self.bookings):
            return self
        return State(
            frozenset(each for each in self.bookings if each[0] in near),
            frozenset(each for each in self.no_op_moves if each[0] in near),
        )

    def changed(self, operation: Operation, type: str, place: Place) -> "State":
        id, before = operation.appointment_id or "", self.changes(operation.appointment_id)
        attendance = operation.attendance if type == "attendance" else None
        entry = Change(type, place, len(before) + 1, operation.move_id, None, attendance)  # type: ignore[arg-type]
        others = self.bookings - {(id, before)}
        return State(others | {(id, (*before, entry))}, self.no_op_moves)

    def without_change(self, move: Operation) -> "State":
        """The state after a move to the booking's own place: only the move id is added."""
        if move.move_id is None:
            return self
        return State(self.bookings, self.no_op_moves | {(move.appointment_id or "", move.move_id)})

    def was_done(self, move: Operation) -> bool:
        """Whether a move with this move id was executed before."""
        if move.move_id is None:
            return False
        changes = self.changes(move.appointment_id)
        was_no_op = (move.appointment_id or "", move.move_id) in self.no_op_moves
        return was_no_op or any(each.move_id == move.move_id for each in changes)

    @cached_property
    def _by_id(self) -> dict[str, Changes]:
        return dict(self.bookings)

    @cached_property
    def _owners(self) -> dict[Claim, str]:
        active = ((id, changes[-1].place) for id, changes in self.bookings if is_active(changes))
        return {claim: id for id, place in active for claim in place.claims}


def booking_state(changes: Changes) -> BookingState:
    status = "booked" if is_active(changes) else "cancelled"
    return BookingState(changes[-1].place, status, not is_erased(changes), attendance_of(changes))


def attendance_of(changes: Changes) -> str | None:
    """Return the attendance that was noted last; None if the patient is expected, as after a new slot."""
    noted, slot = None, ""
    for change in changes:
        if change.attendance or change.place.slot != slot:
            noted = change.attendance
        slot = change.place.slot
    return None if noted == "expected" else noted


def is_prefix(told: Changes, changes: Changes) -> bool:
    """Whether the changes are the first entries of `told`."""
    return len(changes) <= len(told) and all(map(Change.agrees, changes, told))


def is_active(changes: Changes) -> bool:
    return bool(changes) and all(each.type != "cancelled" for each in changes)


def is_erased(changes: Changes) -> bool:
    """Whether the name is erased. No other change brings it back."""
    return any(each.type == "erased" for each in changes)
