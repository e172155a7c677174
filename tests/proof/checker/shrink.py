"""Shrink a rejected history to a small part that is still rejected."""

from collections.abc import Callable, Sequence

from tests.proof.checker.model import CHANGING, may_take_effect, with_unknown_outcome
from tests.proof.faults.history import Operation

Rejected = Callable[[Sequence[Operation]], bool]


def shrink(operations: Sequence[Operation], rejected: Rejected) -> tuple[Operation, ...]:
    """Return the fewest answers that cannot all be true, whatever the other answers were."""
    oldest_first = sorted(operations, key=lambda each: each.invoked)
    # Remove reads before changes: a change explains more to a reader.
    orders = [sorted(order, key=_is_change) for order in (oldest_first, oldest_first[::-1])]
    parts = [_shrink_in_order(order, rejected) for order in orders]
    shortest = min(parts, key=len)
    return tuple(sorted(shortest, key=lambda each: each.invoked))


def _is_change(operation: Operation) -> bool:
    return operation.kind in CHANGING


def _shrink_in_order(operations: Sequence[Operation], rejected: Rejected) -> list[Operation]:
    """Remove one stretch of answers after another, as long as the rest is still rejected."""
    part = list(operations)
    length = len(part)
    while length:
        start = 0
        while start < len(part):
            fewer = part[:start] + part[start + length :]
            if rejected(_with_only(fewer, operations)):
                part = fewer
            else:
                start += length
        length //= 2
    return part


def _with_only(part: Sequence[Operation], operations: Sequence[Operation]) -> list[Operation]:
    """The operations without the answers of those outside the part.

    A change outside the part stays with an unknown outcome. Without it, a refusal because of it would look
    false, and the part would prove nothing about the whole history.
    """
    kept = {each.number for each in part}
    return [
        each if each.number in kept else with_unknown_outcome(each)
        for each in operations
        if each.number in kept or may_take_effect(each)
    ]
