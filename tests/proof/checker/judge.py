"""Apply every rule to a history; answers and holds are judged per component of bookings and claims."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from tests.proof.checker.answers import judge_answers, read_back
from tests.proof.checker.clocks import clock_error
from tests.proof.checker.components import components, scopes
from tests.proof.checker.deadlines import judge_deadlines
from tests.proof.checker.events import judge_events
from tests.proof.checker.finality import (
    add_gateway_attempts,
    apply_final_refusals,
    drop_overtaken_answers,
    judge_asked_earlier,
    judge_finality,
    latest_asked,
)
from tests.proof.checker.histories import judge_histories
from tests.proof.checker.holds import judge_holds, void_holds
from tests.proof.checker.identity import identify
from tests.proof.checker.keys import judge_keys
from tests.proof.checker.rows import judge_rows
from tests.proof.checker.verdict import Rule, Verdict, Violation
from tests.proof.checker.webhooks import judge_webhooks
from tests.proof.checker.windows import split_reads
from tests.proof.faults.history import History, Operation

REDIS_FAULTS = frozenset(
    {"redis_kill", "redis_flush", "redis_pause", "redis_partition", "redis_evict", "redis_clock_jump"}
)
MANY = 40


def check(history: History, *, redis_faults: Collection[str] = REDIS_FAULTS) -> Verdict:
    """Judge a history.

    Args:
        history: The recorded operations, and the rows that were read after every fault was healed.
        redis_faults: The kinds of faults that may lose a hold or hide it from a booking worker.
    """
    losing = [fault for fault in history.faults if fault.kind in redis_faults]
    latest, error = latest_asked(history.faults), clock_error(history.faults)
    identified, attempts = add_gateway_attempts(identify(history))
    operations = drop_overtaken_answers(apply_final_refusals(identified, latest))
    found = [
        *judge_finality(identified, history.rows, latest, error),
        *judge_asked_earlier(identified),
        *judge_rows(operations, history.rows),
        *judge_keys(operations),
        *judge_deadlines(operations, history.rows, error),
        *judge_histories(operations, history.rows),
        *judge_events(operations, history.rows, history.events),
        *judge_webhooks(history.events, history.webhooks, history.faults),
    ]
    parts, lists = split_reads([*operations, *read_back(history.rows, operations)])
    two_won = {each.number for one in found if one.rule is Rule.ONE_WINNER for each in one.operations}
    for component in components(parts, scopes(parts)):
        # Two winners exclude a valid order, and an exhaustive search of a large component never ends.
        if len(component) <= MANY or two_won.isdisjoint(each.number for each in component):
            void = void_holds(component, losing)
            found += [*judge_answers([each for each in component if each not in void])]
        found += judge_holds(component, losing)
    recorded = {each.number: each for each in history.operations}
    recorded |= {number: recorded.get(each.number, each) for number, each in (attempts | lists).items()}
    return Verdict(tuple(_as_recorded(each, recorded) for each in found))


def _as_recorded(violation: Violation, recorded: Mapping[int, Operation]) -> Violation:
    shown = tuple(dict.fromkeys(recorded.get(each.number, each) for each in violation.operations))
    return replace(violation, operations=shown)
