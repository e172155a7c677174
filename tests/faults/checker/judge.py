"""The whole verdict: every rule, and answers and holds by each component of claims."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from tests.faults.checker.answers import judge_answers, read_back
from tests.faults.checker.components import components
from tests.faults.checker.deadlines import judge_deadlines
from tests.faults.checker.holds import judge_holds
from tests.faults.checker.identity import identify
from tests.faults.checker.keys import judge_keys
from tests.faults.checker.model import may_take_effect
from tests.faults.checker.rows import judge_rows
from tests.faults.checker.verdict import Verdict, Violation
from tests.faults.history import History, Operation

REDIS_FAULTS = frozenset(
    {"redis_kill", "redis_flush", "redis_pause", "redis_partition", "redis_evict", "redis_clock_jump"}
)


def check(history: History, *, redis_faults: Collection[str] = REDIS_FAULTS) -> Verdict:
    """Judge a history.

    Args:
        history: What was recorded, and the rows that were read after everything had healed.
        redis_faults: The kinds of faults that may lose a hold or keep a booking worker from seeing it.
    """
    losing = [fault for fault in history.faults if fault.kind in redis_faults]
    operations = identify(history)
    found = [
        *judge_rows(operations, history.rows),
        *judge_keys(operations),
        *judge_deadlines(operations, history.rows),
    ]
    for component in components([*_placed([*operations, *read_back(history.rows, operations)])]):
        found += [*judge_answers(component), *judge_holds(component, losing)]
    recorded = {each.number: each for each in history.operations}
    return Verdict(tuple(_as_recorded(each, recorded) for each in found))


def _placed(operations: Collection[Operation]) -> Iterator[Operation]:
    """The operations, each get with the claims of the booking that it asked for."""
    booked = {each.appointment_id: each for each in operations if may_take_effect(each)}
    for each in operations:
        subject = booked.get(each.appointment_id, each) if each.kind == "get" else each
        yield replace(each, site=subject.site, resources=subject.resources, slot=subject.slot)


def _as_recorded(violation: Violation, recorded: Mapping[int, Operation]) -> Violation:
    shown = tuple(recorded.get(each.number, each) for each in violation.operations)
    return replace(violation, operations=shown)
