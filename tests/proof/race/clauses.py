"""The clauses of the verdict, and what a slot's operations say about them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tests.proof.race.operations import Operation, Run, Step

BOOKED = "Slot already booked"
HELD = "Slot is currently held by another user"
# DESIGN.md 4: the clocks of two hosts agree this well.
CLOCK_SECONDS = 0.25


class Clause(StrEnum):
    ONE_WINNER = "exactly one booking confirmed in each race"
    ONE_OWNER = "no two winners share a resource"
    REFUSED = "everyone else refused, with the right text"
    HOLDS = "every hold honoured"
    ANSWERED = "every request answered"
    READ_BACK = "the winner's appointment reads back the same"
    LATE = "a late request refused"
    FREED = "what was cancelled is free again"
    LINEARIZABLE = "the history is linearizable"


@dataclass(frozen=True, slots=True)
class Finding:
    clause: Clause
    slot: str
    text: str

    def __str__(self) -> str:
        return f"{self.slot}: {self.text}"


@dataclass(frozen=True, slots=True)
class Grant:
    """A hold that was granted, and until when."""

    operation: Operation
    expires: float

    def expired_by(self, moment: float) -> bool:
        return self.expires - CLOCK_SECONDS <= moment


class SlotHistory:
    """All that happened to one slot, in the order in which it was asked."""

    def __init__(self, run: Run, slot: str, operations: list[Operation]) -> None:
        self.run = run
        self.slot = slot
        self.operations = sorted(operations, key=lambda operation: operation.invoked)
        self.confirmed = [operation for operation in self.operations if operation.confirmed]
        # These may have taken effect all the same.
        self.unknown = [
            operation
            for operation in self.operations
            if operation.ask.kind in ("book", "hold") and operation.answer.outcome == "unknown"
        ]
        self.grants = [
            Grant(operation, expires)
            for operation in self.operations
            if operation.granted and (expires := expiry(run, operation)) is not None
        ]

    @property
    def winning(self) -> Clause:
        """The clause for who may win: of several resources, several may, where they share none."""
        return Clause.ONE_WINNER if len(self.run.resources) == 1 else Clause.ONE_OWNER

    @property
    def holds_raced(self) -> bool:
        return any(operation.ask.kind == "hold" for operation in self.of("race"))

    def of(self, step: Step) -> list[Operation]:
        return [operation for operation in self.operations if operation.ask.step == step]

    def find(self, clause: Clause, text: str) -> Finding:
        return Finding(clause, self.slot, text)


def wanted(operation: Operation) -> dict[str, object]:
    """What an answer that grants it tells of where and when."""
    resources = sorted(operation.ask.resources)
    return {"site": operation.ask.body["site"], "resources": resources, "slot": operation.ask.slot}


def expiry(run: Run, operation: Operation) -> float | None:
    """When a hold that was granted ends, in seconds since the run began; None if it does not say."""
    match operation.answer.body:
        case {"hold": {"expiresAt": str(text)}}:
            try:
                return (datetime.fromisoformat(text) - run.began_at).total_seconds()
            except (ValueError, TypeError):
                return None
        case _:
            return None


def refused_with(operation: Operation, text: str) -> bool:
    return operation.answer.status == 409 and operation.answer.body == {"error": text}
