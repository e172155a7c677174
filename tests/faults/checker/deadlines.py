"""No booking was made before it was asked for, or after the deadline of whoever asked.

A booking says when its worker met the command, shortly before the insert. So this finds commands that
were met too late; an insert that was under way and came late is an unknown outcome, and none of this.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import inf

from tests.faults.checker.holds import SKEW_SECONDS
from tests.faults.checker.model import may_take_effect
from tests.faults.checker.verdict import Rule, Violation, violation
from tests.faults.history import Operation, Row


def judge_deadlines(operations: Sequence[Operation], rows: Sequence[Row]) -> Iterator[Violation]:
    """Each booking that is stored was made in the time of an attempt that can have made it."""
    attempts: dict[str | None, list[Operation]] = defaultdict(list)
    for each in operations:
        if may_take_effect(each):
            attempts[each.appointment_id].append(each)
    for row in rows:
        own = attempts[row.id]
        if row.created is None or not own or any(_in_time(each, row.created) for each in own):
            continue
        text = f"the booking {row.id} was made at {row.created:.3f} s, not in the time of any attempt"
        yield violation(Rule.IN_TIME, text, max(own, key=_latest))


def _in_time(attempt: Operation, created: float) -> bool:
    return attempt.invoked - SKEW_SECONDS <= created <= _latest(attempt) + SKEW_SECONDS


def _latest(attempt: Operation) -> float:
    return inf if attempt.deadline is None else attempt.deadline
