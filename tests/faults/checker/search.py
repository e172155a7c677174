"""Linearizability of claims: the search of Wing and Gong, with Lowe's memory of what failed before.

An order of the operations is looked for in which every answer is true and no operation stands before one
that had returned before it was invoked. An operation of unknown outcome may stand anywhere after its
invocation, or nowhere.

What keeps it short: what falls apart is searched apart; an answer that can never be true again ends a
path; and of bookings that nobody heard of, those are tried that explain a refusal, one for each set of
claims.
"""

from collections.abc import Iterator, Sequence

from tests.faults.checker.components import components
from tests.faults.checker.model import (
    FREE,
    Ownership,
    apply,
    is_never_true,
    may_take_effect,
    refused_as_booked,
)
from tests.faults.history import Claim, Operation

Failed = set[tuple[Ownership, frozenset[int]]]


def linearizable(operations: Sequence[Operation]) -> bool:
    """Whether there is such an order for claims that begin free."""
    relevant = [each for each in operations if may_take_effect(each) or _answered(each)]
    return _search(FREE, sorted(relevant, key=lambda each: each.invoked), set())


def _answered(operation: Operation) -> bool:
    return operation.ok or operation.refused


def _search(state: Ownership, remaining: list[Operation], failed: Failed) -> bool:
    return all(_search_component(state.within(_claims(part)), part, failed) for part in components(remaining))


def _search_component(state: Ownership, remaining: list[Operation], failed: Failed) -> bool:
    if not any(map(_answered, remaining)):
        return True
    settled = _settle(state, remaining)
    if len(settled) < len(remaining):
        return _search(state, settled, failed)  # it may fall apart now
    if any(is_never_true(state, each) for each in remaining):
        return False
    place = state, frozenset(each.number for each in remaining)
    if place in failed:
        return False
    for operation in _choices(remaining):
        changed = apply(state, operation)
        if changed is not None and changed != state:
            rest = [each for each in remaining if each is not operation]
            if _search(changed, rest, failed):
                return True
    failed.add(place)
    return False


def _choices(remaining: list[Operation]) -> Iterator[Operation]:
    """What may come next, the likeliest first: what is known to have happened.

    One of unknown outcome is of use only where an answer tells of it, or a refusal needs an owner. Of those
    with the same claims that no answer tells of, one is as good as any other.
    """
    told = {each.appointment_id for each in remaining if _answered(each)}
    needing_owner = _claims(each for each in remaining if refused_as_booked(each))
    possible = _next(remaining)
    yield from sorted(
        (each for each in possible if each.appointment_id in told), key=lambda each: each.unknown
    )
    untold = {each.claims: each for each in possible if each.appointment_id not in told}
    yield from (each for each in untold.values() if each.claims & needing_owner)


def _settle(state: Ownership, remaining: list[Operation]) -> list[Operation]:
    """Leave out whatever may come next and changes nothing: no later place could be better for it."""
    while True:
        settled = {
            each.number for each in _next(remaining) if not each.unknown and apply(state, each) == state
        }
        if not settled:
            return remaining
        remaining = [each for each in remaining if each.number not in settled]


def _next(remaining: list[Operation]) -> list[Operation]:
    """The operations that no other remaining one had to precede; `remaining` is in order of invocation."""
    horizon = min(each.end for each in remaining) if remaining else 0
    return [each for each in remaining if each.invoked <= horizon]


def _claims(operations: Sequence[Operation] | Iterator[Operation]) -> frozenset[Claim]:
    return frozenset().union(*(each.claims for each in operations))
