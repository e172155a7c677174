"""Linearizability of bookings: the search of Wing and Gong, with Lowe's cache of failed states.

The search looks for an order in which every answer is true, and in which no operation precedes one that had
returned before its invocation. An operation of unknown outcome takes effect at any time after its
invocation, or never; with `gone_by`, only before operations that were invoked after that time.

Four prunings keep it fast. Independent components are searched separately. An answer that can never be true
again ends a path (a history in an answer fixes the order of a booking's changes). Of the bookings that no
answer shows, the search tries only those that explain a refusal, and only one per set of claims. A settled
operation is removed at once.
"""

import sys
from collections.abc import Iterator, Sequence, Set

from tests.proof.checker.components import ObjectKey, Scope, components, scopes
from tests.proof.checker.model import (
    FREE,
    apply,
    is_permanently_false,
    is_settled,
    lists_booked,
    may_take_effect,
    refused_as_booked,
)
from tests.proof.checker.state import State
from tests.proof.faults.history import Operation

DEEPEST = 100_000
JUDGED = ("book", "move", "cancel", "get", "history", "list", "slots", "hold", "amend", "erase")


def linearizable(operations: Sequence[Operation]) -> bool:
    """Whether such an order exists, starting without bookings."""
    relevant = [
        each for each in operations if each.kind in JUDGED and (may_take_effect(each) or _answered(each))
    ]
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(DEEPEST, limit))  # one level for each change
    try:
        return _Search(scopes(relevant)).all_of(FREE, sorted(relevant, key=lambda each: each.invoked))
    finally:
        sys.setrecursionlimit(limit)


class _Search:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._failed: set[tuple[State, frozenset[int]]] = set()

    def all_of(self, state: State, remaining: list[Operation]) -> bool:
        for part in components(remaining, self._scope):  # noqa: SIM110 (a generator adds a level)
            if not self._one(self._within(state, part), part):
                return False
        return True

    def _one(self, state: State, remaining: list[Operation]) -> bool:
        """Whether one component has a valid order."""
        if not any(map(_answered, remaining)):
            return True
        settled = _settle(state, remaining)
        if len(settled) < len(remaining):
            return self.all_of(state, settled)  # it may now be several components
        changing = {
            each.appointment_id for each in remaining if each.kind != "book" and may_take_effect(each)
        }
        if any(_answered(each) and is_permanently_false(state, each, changing) for each in remaining):
            return False
        place = state, frozenset(each.number for each in remaining)
        if place in self._failed:
            return False
        for operation in self._choices(remaining, changing):
            changed = apply(state, operation)
            if changed is not None and (changed != state or not operation.unknown):
                rest = [each for each in remaining if each is not operation]
                if self.all_of(changed, rest):
                    return True
        first = min(remaining, key=lambda each: each.end)
        if first.unknown and first.gone_by is not None:
            rest = [each for each in remaining if each is not first]
            if self.all_of(state, rest):  # it never took effect
                return True
        self._failed.add(place)
        return False

    def _choices(self, remaining: list[Operation], changing: Set[str | None]) -> Iterator[Operation]:
        """Yield the operations that may come next, the likeliest first: those with a known outcome.

        A booking of unknown outcome helps only if an answer shows it or needs an owner of its claims. If no
        answer shows several bookings with the same claims, one of them suffices.
        """
        told = changing | {each.appointment_id for each in remaining if _answered(each)}
        in_need = (each for each in remaining if refused_as_booked(each) or lists_booked(each))
        needing_owner = frozenset[ObjectKey]().union(*(self._scope[each.number] for each in in_need))
        possible = _next(remaining)
        yield from sorted(
            (each for each in possible if each.appointment_id in told), key=lambda each: each.unknown
        )
        untold = {each.claims: each for each in possible if each.appointment_id not in told}
        yield from (each for each in untold.values() if each.claims & needing_owner)

    def _within(self, state: State, part: Sequence[Operation]) -> State:
        return state.within(frozenset[ObjectKey]().union(*(self._scope[each.number] for each in part)))


def _answered(operation: Operation) -> bool:
    return operation.ok or operation.refused


def _settle(state: State, remaining: list[Operation]) -> list[Operation]:
    """Remove settled operations that may come next: a later position would not help the search."""
    while True:
        settled = {each.number for each in _next(remaining) if is_settled(state, each)}
        if not settled:
            return remaining
        remaining = [each for each in remaining if each.number not in settled]


def _next(remaining: list[Operation]) -> list[Operation]:
    """Return the operations that need no remaining predecessor; `remaining` is in order of invocation."""
    horizon = min(each.end for each in remaining) if remaining else 0
    return [each for each in remaining if each.invoked <= horizon]
