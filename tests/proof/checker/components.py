"""Split operations into components that share no booking and no claim, not even indirectly."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from tests.proof.checker.model import may_take_effect, refused_as_booked, refused_as_held
from tests.proof.faults.history import Operation
from tests.proof.faults.places import Claim, Place

ObjectKey = tuple[str, ...]
"""A claim, or `("id", an id)`."""
Scope = Mapping[int, frozenset[ObjectKey]]
"""The objects of each operation, by its number."""


def scopes(operations: Sequence[Operation]) -> Scope:
    """Return the objects that each operation reads or can change: for a booking, all claims it can reach."""
    may_own = reachable_claims(operations)
    held: dict[str | None, set[Claim]] = defaultdict(set)
    for each in operations:
        if each.kind == "hold":
            held[each.token] |= each.claims
    released = {each.number: held[each.token] for each in operations if each.kind == "release"}
    return {
        each.number: frozenset(_object_keys(each, may_own)) | released.get(each.number, frozenset())
        for each in operations
    }


def components(operations: Sequence[Operation], scope: Scope) -> list[list[Operation]]:
    """Return the operations in connected components, each in the given order.

    Different components concern different objects, so a history is linearizable if and only if each of its
    components is (Herlihy and Wing: linearizability is local).
    """
    leader: dict[ObjectKey, ObjectKey] = {}

    def find(thing: ObjectKey) -> ObjectKey:
        while (above := leader.setdefault(thing, thing)) != thing:
            leader[thing] = thing = leader[above]
        return thing

    for each in operations:
        first, *others = scope[each.number] or [()]
        for other in others:
            leader[find(other)] = find(first)
    groups: dict[ObjectKey, list[Operation]] = defaultdict(list)
    for each in operations:
        groups[find(next(iter(scope[each.number]), ()))].append(each)
    return list(groups.values())


def reachable_claims(operations: Iterable[Operation]) -> Callable[[str], frozenset[Claim]]:
    """Return the function that maps a booking's id to the claims that it had or may have had."""
    places: dict[str, set[Place]] = defaultdict(set)
    moves: dict[str, set[Place]] = defaultdict(set)
    for each in operations:
        if each.appointment_id is None:
            continue
        if each.kind == "move":
            moves[each.appointment_id].add(each.place)
        elif each.kind == "book":
            places[each.appointment_id].add(each.place)
        if each.told is not None:
            places[each.appointment_id].add(each.told.place)
        places[each.appointment_id] |= {change.place for change in each.changes or ()}
    found: dict[str, frozenset[Claim]] = {}

    def claims(id: str) -> frozenset[Claim]:
        if id not in found:
            found[id] = frozenset[Claim]().union(*(place.claims for place in _closed(places[id], moves[id])))
        return found[id]

    return claims


def _object_keys(operation: Operation, may_own: Callable[[str], frozenset[Claim]]) -> Iterable[ObjectKey]:
    id = operation.appointment_id
    if id is not None:
        yield "id", id
    if operation.kind in ("book", "hold", "release", "slots"):
        yield from operation.claims
    elif id and (may_take_effect(operation) or refused_as_booked(operation) or refused_as_held(operation)):
        yield from may_own(id)


def _closed(places: set[Place], moves: set[Place]) -> set[Place]:
    """The places, and all places that the moves reach from them."""
    known = set(places)
    new = known
    while new:
        new = {place.moved(move) for place in new for move in moves} - known
        known = known | new
    return known
