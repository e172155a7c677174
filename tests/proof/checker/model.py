"""The sequential model of bookings. Only this module decides which answers are true.

A claim is free, or owned by one booking that is not cancelled. A booking is made once and cancelled at most
once; in between it may move. Its name is erased at most once, also after a cancel.
"""

from collections.abc import Set
from dataclasses import replace

from tests.proof.checker.state import (
    Changes,
    State,
    attendance_of,
    booking_state,
    is_active,
    is_erased,
    is_prefix,
)
from tests.proof.faults.history import Operation

# Not imported from the service: a change of its texts must not change what the checker expects.
BOOKED = "Slot already booked"
HELD = "Slot is currently held by another user"
CANCELLED = "Appointment is cancelled"
CHANGING = ("book", "move", "cancel", "amend", "erase")

FREE = State()


def apply(state: State, operation: Operation) -> State | None:
    """Return the state after the operation, or None if its answer is false in this state."""
    changes = state.changes(operation.appointment_id)
    if refused_as_booked(operation) or refused_as_held(operation):
        return state if _is_truly_refused(state, changes, operation) else None
    if refused_as_cancelled(operation):
        return state if _is_cancelled(state, changes, operation) else None
    match operation.kind:
        case "book":
            changed = _book(state, changes, operation)
        case "move":
            changed = _move(state, changes, operation)
        case "cancel":
            changed = _cancel(state, changes, operation)
        case "amend":
            changed = _amend(state, changes, operation)
        case "erase":
            changed = _erase(state, changes, operation)
        case _:
            changed = state if _is_true(state, changes, operation) else None
    if changed is None or (operation.ok and not _matches_answer(changed, operation)):
        return state if operation.unknown else None
    return changed


def _book(state: State, changes: Changes, asked: Operation) -> State | None:
    if not may_take_effect(asked):
        return state
    if changes:
        return state if asked.replayed and is_active(changes) else None
    if state.owners(None, asked.claims):
        return None
    return state.changed(asked, "booked", asked.place)


def _move(state: State, changes: Changes, asked: Operation) -> State | None:
    if not_found(asked):
        return None if changes else state
    if not may_take_effect(asked):
        return state
    if not is_active(changes):  # a 200 is for a booking that is not cancelled
        return None
    if state.was_done(asked):
        return state
    place = changes[-1].place.moved(asked.place)
    if place == changes[-1].place:
        return state.without_change(asked)
    if state.owners(asked.appointment_id, place.claims):
        return None
    return state.changed(asked, "moved", place)


def _cancel(state: State, changes: Changes, asked: Operation) -> State | None:
    if not_found(asked):
        return None if changes else state
    if not may_take_effect(asked):
        return state
    if not changes:
        return None
    return state.changed(asked, "cancelled", changes[-1].place) if is_active(changes) else state


def _amend(state: State, changes: Changes, asked: Operation) -> State | None:
    if not_found(asked):
        return None if changes else state
    if not may_take_effect(asked):
        return state
    if not is_active(changes):
        return None
    is_noted = asked.attendance == (attendance_of(changes) or "expected")
    return state if is_noted else state.changed(asked, "attendance", changes[-1].place)


def _erase(state: State, changes: Changes, asked: Operation) -> State | None:
    if not may_take_effect(asked):  # it found nothing to erase
        return state
    if not changes:
        return None
    return state if is_erased(changes) else state.changed(asked, "erased", changes[-1].place)


def _is_true(state: State, changes: Changes, operation: Operation) -> bool:
    """Whether the answer of an operation without a change is true."""
    if not_found(operation):
        return not changes
    if not operation.ok:
        return True
    match operation.kind:
        case "get":
            return bool(changes)
        case "history":
            told = operation.changes
            return bool(changes) and (
                told is None or (len(told) == len(changes) and is_prefix(told, changes))
            )
        case "list":  # one booking that is absent from the list
            overlaps = is_active(changes) and changes[-1].place.overlaps(operation.slot, operation.until)
            return not (overlaps and set(operation.resources) & set(changes[-1].place.resources))
        case "slots":  # one cell
            return lists_booked(operation) == bool(state.owners(None, operation.claims))
        case "hold":
            return not state.owners(None, operation.claims)
        case _:
            return True


def _is_truly_refused(state: State, changes: Changes, operation: Operation) -> bool:
    """Whether the refusal is true.

    Booked takes precedence over held, and a booking's own claims never conflict with it.
    """
    if operation.kind == "move":
        if not is_active(changes) or state.was_done(operation):
            return False
        claims = changes[-1].place.moved(operation.place).claims
    elif changes:  # its own booking exists, and would be the answer
        return False
    else:
        claims = operation.claims
    return bool(state.owners(operation.appointment_id, claims)) == refused_as_booked(operation)


def _is_cancelled(state: State, changes: Changes, operation: Operation) -> bool:
    """Whether the booking is cancelled and the answer shows that; a move may have been executed before."""
    return bool(changes) and not is_active(changes) and _matches_answer(state, operation)


def _matches_answer(state: State, operation: Operation) -> bool:
    """Whether the answer shows the booking in its current state."""
    changes = state.changes(operation.appointment_id)
    return operation.told is None or (bool(changes) and operation.told == booking_state(changes))


def is_permanently_false(state: State, operation: Operation, changing: Set[str | None]) -> bool:
    """Whether the operation's answer is false in this state and in every later one.

    Args:
        state: The current state of the search.
        operation: An operation with an answer.
        changing: The ids of bookings that can still change.
    """
    id, changes = operation.appointment_id, state.changes(operation.appointment_id)
    if operation.kind == "book":
        if operation.ok and changes:
            return not operation.replayed or not is_active(changes)
        if refused_as_booked(operation):
            return bool(changes)
        return (operation.ok or refused_as_held(operation)) and (
            bool(changes) or bool(state.owners(id, operation.claims) - changing)
        )
    if operation.kind == "hold":
        granted = operation.ok or refused_as_held(operation)
        return granted and bool(state.owners(None, operation.claims) - changing)
    if not changes:
        return False
    if not_found(operation):
        return True
    if operation.kind == "history" and operation.changes is not None:
        return not is_prefix(operation.changes, changes)
    if operation.kind == "amend" and not is_active(changes):
        return operation.ok
    if operation.kind == "move" and not is_active(changes):
        return operation.ok or refused_as_booked(operation) or refused_as_held(operation)
    return operation.kind in ("get", "cancel") and operation.ok and _is_over(changes, operation)


def _is_over(changes: Changes, operation: Operation) -> bool:
    """Whether the booking is cancelled, so that only its name may go, and the answer shows another state."""
    told = operation.told
    if told is None or is_active(changes):
        return False
    now = booking_state(changes)
    return told not in (now, replace(now, named=False))


def is_settled(state: State, operation: Operation) -> bool:
    """Whether the answer is true, and the operation changes nothing in this or any later state."""
    if operation.unknown or apply(state, operation) != state:
        return False
    changes = state.changes(operation.appointment_id)
    may_change_later = operation.kind in ("move", "amend") and operation.ok and not state.was_done(operation)
    return not (may_change_later and is_active(changes))


def refused_as_booked(operation: Operation) -> bool:
    return operation.refused and operation.error == BOOKED


def refused_as_held(operation: Operation) -> bool:
    return operation.refused and operation.error == HELD


def refused_as_cancelled(operation: Operation) -> bool:
    return operation.refused and operation.error == CANCELLED


def lists_booked(slots: Operation) -> bool:
    return any(state == "booked" for _, state in slots.taken)


def not_found(operation: Operation) -> bool:
    about_one = operation.kind in ("get", "history", "cancel", "move", "amend")
    return about_one and operation.refused and operation.status == 404


def may_take_effect(operation: Operation) -> bool:
    """Whether the operation may have changed a booking."""
    return operation.kind in CHANGING and (operation.ok or operation.unknown)


def may_book(operation: Operation) -> bool:
    """Whether the operation may have made a booking."""
    return operation.kind == "book" and may_take_effect(operation)


def with_unknown_outcome(operation: Operation) -> Operation:
    """The operation without its answer: it may take effect at any time after its invocation, or never."""
    return replace(operation, outcome="unknown", returned=None, told=None)
