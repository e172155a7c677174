"""Linearizability of one slot: the search of Wing and Gong, with Lowe's memory of what failed before.

An order of the operations is looked for in which every answer is true and no operation stands before one
that had returned before it was invoked. An operation of unknown outcome may stand anywhere after its
invocation, or nowhere.
"""

from collections.abc import Sequence

from tests.faults.checker.model import FREE, Slot, apply, may_take_effect
from tests.faults.history import Operation


def linearizable(operations: Sequence[Operation]) -> bool:
    """Whether there is such an order for a slot that begins free."""
    relevant = [each for each in operations if may_take_effect(each) or _answered(each)]
    return _search(FREE, sorted(relevant, key=lambda each: each.invoked), set())


def _answered(operation: Operation) -> bool:
    return operation.ok or operation.refused


def _search(slot: Slot, remaining: list[Operation], failed: set[tuple[Slot, frozenset[int]]]) -> bool:
    remaining = _settle(slot, remaining)
    if not any(map(_answered, remaining)):
        return True
    place = slot, frozenset(each.number for each in remaining)
    if place in failed:
        return False
    for operation in _choices(remaining):
        changed = apply(slot, operation)
        if changed is not None and changed != slot:
            rest = [each for each in remaining if each is not operation]
            if _search(changed, rest, failed):
                return True
    failed.add(place)
    return False


def _choices(remaining: list[Operation]) -> list[Operation]:
    """What may come next, the likeliest first: what is known to have happened.

    Of the bookings that no answer tells of, one is as good as any other.
    """
    told = {each.appointment_id for each in remaining if _answered(each)}
    possible = _next(remaining)
    told_of = [each for each in possible if each.appointment_id in told]
    others = [each for each in possible if each.appointment_id not in told]
    return sorted(told_of, key=lambda each: each.unknown) + others[:1]


def _settle(slot: Slot, remaining: list[Operation]) -> list[Operation]:
    """Leave out whatever may come next and changes nothing: no later place could be better for it."""
    while True:
        settled = {each.number for each in _next(remaining) if not each.unknown and apply(slot, each) == slot}
        if not settled:
            return remaining
        remaining = [each for each in remaining if each.number not in settled]


def _next(remaining: list[Operation]) -> list[Operation]:
    """The operations that no other remaining one had to precede; `remaining` is in order of invocation."""
    horizon = min(each.end for each in remaining) if remaining else 0
    return [each for each in remaining if each.invoked <= horizon]
