"""The shortest bad part of a history that was rejected."""

from collections.abc import Callable, Sequence

from tests.proof.checker.model import CHANGING, may_take_effect, with_unknown_outcome
from tests.proof.faults.history import Operation

Rejected = Callable[[Sequence[Operation]], bool]


def shrink(operations: Sequence[Operation], rejected: Rejected) -> tuple[Operation, ...]:
    """The fewest answers that cannot all be true, whatever the others were."""
    oldest_first = sorted(operations, key=lambda each: each.invoked)
    # Reads are given up before changes: what was booked explains more.
    orders = [sorted(order, key=_is_change) for order in (oldest_first, oldest_first[::-1])]
    parts = [_shrink_in_order(order, rejected) for order in orders]
    shortest = min(parts, key=len)
    return tuple(sorted(shortest, key=lambda each: each.invoked))


def _is_change(operation: Operation) -> bool:
    return operation.kind in CHANGING


def _shrink_in_order(operations: Sequence[Operation], rejected: Rejected) -> list[Operation]:
    """Give up one stretch of answers after another, as long as the rest is still rejected."""
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

    A change outside stays as one of unknown outcome. Were it deleted, a refusal that rests on it would look
    false, and the part would prove nothing about the whole.
    """
    kept = {each.number for each in part}
    return [
        each if each.number in kept else with_unknown_outcome(each)
        for each in operations
        if each.number in kept or may_take_effect(each)
    ]
