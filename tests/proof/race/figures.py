"""Figures of a run: how the slots ended, and, for information only, how fast it went."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.proof.race.clauses import BOOKED, HELD, refused_with
from tests.proof.race.operations import Operation, Run


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How the requests of one race, or of several, ended."""

    requests: int
    confirmed: int
    granted: int
    already_booked: int
    currently_held: int
    other: int
    unanswered: int


@dataclass(frozen=True, slots=True)
class Speed:
    requests_per_second: float
    p50_ms: float
    p95_ms: float
    max_ms: float


Race = tuple[str, int]
"""A slot, and which of the races for it: half of the slots are given back and raced for again."""


def race_of(operation: Operation) -> Race:
    return operation.ask.slot, operation.ask.round


def raced(run: Run, race: Race | None = None) -> list[Operation]:
    """The requests of one race, or of all races."""
    return [
        operation
        for operation in run.operations
        if operation.ask.step == "race" and race in (None, race_of(operation))
    ]


def outcomes(operations: Sequence[Operation]) -> Outcomes:
    confirmed = sum(operation.confirmed for operation in operations)
    granted = sum(operation.granted for operation in operations)
    booked = sum(refused_with(operation, BOOKED) for operation in operations)
    held = sum(refused_with(operation, HELD) for operation in operations)
    unanswered = sum(not operation.answer.answered for operation in operations)
    other = len(operations) - confirmed - granted - booked - held - unanswered
    return Outcomes(len(operations), confirmed, granted, booked, held, other, unanswered)


def claimed(run: Run, race: Race | None = None) -> int:
    """How many holders booked what they held after one race, or after all of them."""
    return sum(
        operation.confirmed and operation.ask.step == "claim" and race in (None, race_of(operation))
        for operation in run.operations
    )


def speed(run: Run) -> Speed:
    """Throughput and latency of the race itself."""
    operations = raced(run)
    took = sorted(operation.milliseconds for operation in operations)
    per_second = len(operations) / run.race_seconds if run.race_seconds else 0.0
    return Speed(per_second, _percentile(took, 50), _percentile(took, 95), took[-1])


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """The smallest value that at least `percent` of the values do not exceed."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
