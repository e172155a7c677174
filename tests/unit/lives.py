"""Bookings that are cancelled or moved, for the checker's own tests."""

from dataclasses import replace

from tests.proof.checker import Rule
from tests.proof.checker.builders import (
    booked,
    of,
    record,
    stored,
)
from tests.proof.faults.history import Operation, Row
from tests.unit.verdicts import broken_rules

ADA, BOB = of("a", booked("Ada", 0, 1)), of("b", booked("Bob", 0, 1))
STAYED = stored("Ada", "booked a")
GONE = stored("Ada", "booked a", "cancelled a")
MOVED = stored("Ada", "booked a", "moved b m")


def rules(*operations: Operation, rows: tuple[Row, ...] = ()) -> set[Rule]:
    return broken_rules(record(*operations, rows=rows))


def with_refusal(operation: Operation, error: str, status: int = 409) -> Operation:
    return replace(operation, outcome="refused", error=error, status=status)


def without_answer(operation: Operation) -> Operation:
    return replace(operation, outcome="unknown", returned=None)
