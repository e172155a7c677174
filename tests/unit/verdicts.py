"""The rules that a history breaks, for the checker's own tests."""

from tests.proof.checker import Rule, check
from tests.proof.faults.history import History

LATER = "2031-05-04T10:00:00.000Z"


def broken_rules(history: History) -> set[Rule]:
    return {violation.rule for violation in check(history).violations}
