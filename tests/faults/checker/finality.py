"""A refusal is final: what an earlier attempt of the same request would have done is not done any more.

Whoever repeats a request that got no answer, once its deadline has passed, and hears 409, knows: had the
earlier attempt been carried out before, that would have been the answer; and it is not carried out later.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import replace

from tests.faults.checker.holds import SKEW_SECONDS
from tests.faults.checker.model import may_take_effect, refused_as_booked, refused_as_held
from tests.faults.history import Operation


def without_refused(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """The operations, those as not executed that a later refusal of the same request rules out."""
    refusals: dict[Hashable, list[Operation]] = defaultdict(list)
    for each in operations:
        if (request := _request(each)) and _is_final(each):
            refusals[request].append(each)

    def is_ruled_out(attempt: Operation) -> bool:
        deadline = attempt.deadline
        if not attempt.unknown or deadline is None:
            return False
        return any(deadline + SKEW_SECONDS < each.invoked for each in refusals.get(_request(attempt), ()))

    return tuple(
        replace(each, outcome="not_executed", returned=each.returned or each.deadline)
        if is_ruled_out(each)
        else each
        for each in operations
    )


def _request(operation: Operation) -> Hashable:
    """What the attempts of one request have in common; None for what has no name of its own."""
    if operation.kind == "book" and operation.key is not None:
        return operation.place, operation.key, operation.patient
    if operation.kind == "move" and operation.move_id is not None:
        return operation.appointment_id, operation.move_id
    return None


def _is_final(operation: Operation) -> bool:
    """Not of a booking or move that was carried out and then cancelled: its refusal tells of it."""
    return refused_as_booked(operation) or refused_as_held(operation)


def without_later_news(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """The moves that another change may have followed before they were answered, without what they tell.

    A move that was carried out, and repeated since its reply was lost, tells where the booking is by then.
    """
    changes: dict[str | None, list[Operation]] = defaultdict(list)
    for each in operations:
        if each.kind in ("move", "cancel") and may_take_effect(each):
            changes[each.appointment_id].append(each)

    def may_be_news(move: Operation) -> bool:
        others = (each for each in changes[move.appointment_id] if each is not move)
        return any(each.invoked <= move.end and move.invoked <= each.end for each in others)

    return tuple(
        replace(each, told=None) if each.kind == "move" and each.told and may_be_news(each) else each
        for each in operations
    )
