"""The whole verdict: every rule, slot by slot."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from tests.faults.checker.deadlines import judge_deadlines
from tests.faults.checker.holds import judge_holds, overlaps
from tests.faults.checker.identity import identify
from tests.faults.checker.keys import judge_keys
from tests.faults.checker.model import may_take_effect
from tests.faults.checker.rows import judge_rows
from tests.faults.checker.slots import judge_slot, read_back
from tests.faults.checker.verdict import Forgiven, Verdict, Violation
from tests.faults.history import History, Operation

DEPOSING_FAULTS = frozenset({"mongo_isolate_primary", "mongo_stepdown"})
REDIS_FAULTS = frozenset(
    {"redis_kill", "redis_flush", "redis_pause", "redis_partition", "redis_evict", "redis_clock_jump"}
)
DEPOSED_SECONDS = 10.0
"""How long after the fault a deposed primary may still not know that it is one."""


def check(
    history: History,
    *,
    forgive_stale_refusals_during: Collection[str] = DEPOSING_FAULTS,
    redis_faults: Collection[str] = REDIS_FAULTS,
) -> Verdict:
    """Judge a history.

    Args:
        history: What was recorded, and the rows that were read after everything had healed.
        forgive_stale_refusals_during: The kinds of faults that depose a primary, which may then refuse a
            booking on stale data. Never is a confirmation forgiven.
        redis_faults: The kinds of faults that may lose a hold or keep a booking worker from seeing it.
    """
    deposing = [fault for fault in history.faults if fault.kind in forgive_stale_refusals_during]
    losing = [fault for fault in history.faults if fault.kind in redis_faults]

    def forgivable(refusal: Operation) -> bool:
        return any(overlaps(fault, refusal.invoked, refusal.end, DEPOSED_SECONDS) for fault in deposing)

    operations = identify(history)
    findings: list[Violation | Forgiven] = [
        *judge_rows(operations, history.rows),
        *judge_keys(operations, forgivable),
        *judge_deadlines(operations, history.rows),
    ]
    for slot in _by_slot([*operations, *read_back(history.rows, operations)]):
        findings += [*judge_slot(slot, forgivable), *judge_holds(slot, losing)]
    recorded = {each.number: each for each in history.operations}
    return Verdict(
        tuple(_as_recorded(each, recorded) for each in findings if isinstance(each, Violation)),
        forgiven=len({each.refusal.number for each in findings if isinstance(each, Forgiven)}),
    )


def _by_slot(operations: Iterable[Operation]) -> Iterable[list[Operation]]:
    """The operations of each slot; a get belongs to the slot of the booking that it asked for."""
    operations = list(operations)
    booked = {each.appointment_id: each for each in operations if may_take_effect(each)}
    slots: dict[tuple[str, str], list[Operation]] = defaultdict(list)
    for each in operations:
        subject = booked.get(each.appointment_id, each) if each.kind == "get" else each
        slots[subject.resource, subject.slot].append(each)
    return slots.values()


def _as_recorded(violation: Violation, recorded: Mapping[int, Operation]) -> Violation:
    shown = tuple(recorded.get(each.number, each) for each in violation.operations)
    return replace(violation, operations=shown)
