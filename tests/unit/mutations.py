"""Settings and histories for the mutation tests of the checker."""

from dataclasses import replace

from hypothesis import HealthCheck, settings

from tests.proof.checker.builders import record
from tests.proof.faults.history import History, Operation

MANY = settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much]
)
RESOURCES = ("a", "b", "c")


def extended(history: History, *more: Operation) -> History:
    return replace(record(*history.operations, *more), rows=history.rows)
