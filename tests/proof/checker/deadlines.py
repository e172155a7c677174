"""No change happens before its request, or after the deadline of its caller.

A change records the time at which its worker met the command, shortly before the write. So this rule finds
commands that a worker met too late. A late write of a command met in time is an unknown outcome, not a
violation of this rule.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import inf

from tests.proof.checker.clocks import ClockError
from tests.proof.checker.model import may_take_effect
from tests.proof.checker.verdict import Rule, Violation, violation
from tests.proof.faults.history import Operation, Row
from tests.proof.faults.places import Change


def judge_deadlines(
    operations: Sequence[Operation], rows: Sequence[Row], error: ClockError
) -> Iterator[Violation]:
    """Yield stored changes that no attempt can have made between its invocation and its deadline."""
    attempts: dict[str | None, list[Operation]] = defaultdict(list)
    for each in operations:
        if may_take_effect(each):
            attempts[each.appointment_id].append(each)
    for row in rows:
        own = [each for each in attempts[row.id] if each.kind == "book"]
        if row.created is not None and own and not any(_in_time(each, row.created, error) for each in own):
            text = f"the booking {row.id} was made at {row.created:.3f} s, not in the time of any attempt"
            yield violation(Rule.IN_TIME, text, max(own, key=_latest))
        for change in row.history[1:]:
            own = [each for each in attempts[row.id] if _can_have_made(each, change)]
            if change.at is not None and own and not any(_in_time(each, change.at, error) for each in own):
                when = f"{change.type} at {change.at:.3f} s"
                text = f"the booking {row.id} was {when}, not in the time of any attempt"
                yield violation(Rule.IN_TIME, text, max(own, key=_latest))


def _can_have_made(attempt: Operation, change: Change) -> bool:
    if attempt.kind == "cancel":
        return change.type == "cancelled"
    if attempt.kind == "amend":
        return change.type == "attendance" and change.attendance == attempt.attendance
    if attempt.kind == "erase":
        return change.type == "erased"
    same_id = None in (attempt.move_id, change.move_id) or attempt.move_id == change.move_id
    leads_there = change.place.moved(attempt.place) == change.place
    return attempt.kind == "move" and change.type == "moved" and same_id and leads_there


def _in_time(attempt: Operation, made: float, error: ClockError) -> bool:
    return attempt.invoked - error(made) <= made <= _latest(attempt) + error(made)


def _latest(attempt: Operation) -> float:
    return inf if attempt.deadline is None else attempt.deadline
