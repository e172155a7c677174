"""All orders that a small history may have had, for a search through every one of them."""

from collections.abc import Iterator, Sequence
from itertools import chain, combinations, permutations

from tests.proof.faults.history import Operation

CHANGES = ("book", "cancel", "move")


def possible_orders(operations: Sequence[Operation]) -> Iterator[tuple[Operation, ...]]:
    """Every order of what was answered and of any of the changes that were not."""
    answered = [
        each for each in operations if each.outcome in ("ok", "refused") and each.returned is not None
    ]
    lost = [each for each in operations if each.kind in CHANGES and each.outcome == "unknown"]
    for carried_out in chain.from_iterable(combinations(lost, size) for size in range(len(lost) + 1)):
        for order in permutations([*answered, *carried_out]):
            if all(one.invoked <= other.end for one, other in combinations(order, 2)):
                yield order
