"""All possible orders of a small history, for exhaustive searches."""

from collections.abc import Iterator, Sequence
from itertools import chain, combinations, permutations

from tests.proof.faults.history import Operation

CHANGES = ("book", "cancel", "move")


def possible_orders(operations: Sequence[Operation]) -> Iterator[tuple[Operation, ...]]:
    """Yield every order of the answered operations and any of the unanswered changes."""
    answered = [
        each for each in operations if each.outcome in ("ok", "refused") and each.returned is not None
    ]
    lost = [each for each in operations if each.kind in CHANGES and each.outcome == "unknown"]
    for carried_out in chain.from_iterable(combinations(lost, size) for size in range(len(lost) + 1)):
        for order in permutations([*answered, *carried_out]):
            if all(one.invoked <= other.end for one, other in combinations(order, 2)):
                yield order
