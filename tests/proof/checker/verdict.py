"""The rules, and the verdict: each violation with the operations that prove it."""

from dataclasses import dataclass
from enum import StrEnum

from tests.proof.faults.history import Operation, Row
from tests.proof.faults.places import Place


class Rule(StrEnum):
    LINEARIZABLE = "linearizable"
    DURABLE = "acknowledged is durable"
    ONE_WINNER = "one winner"
    ONE_KEY = "same key, same booking"
    TRUE_REFUSAL = "a refusal is true"
    HOLD = "a hold is honoured"
    KNOWN_OUTCOME = "known outcome"
    FINAL = "a refusal is final"
    IN_TIME = "nothing is started too late"
    HISTORY = "a history tells each change once"
    EVENT = "every change becomes an event"
    WEBHOOK = "a healthy receiver gets every event in time"


@dataclass(frozen=True)
class Violation:
    """A broken rule, and the smallest part of the history that shows it, in order of invocation."""

    rule: Rule
    where: str
    slot: str
    text: str
    operations: tuple[Operation, ...] = ()

    def __str__(self) -> str:
        head = f"{self.rule}: {self.where} {self.slot}: {self.text}"
        return "\n".join([head, *(f"    {describe(each)}" for each in self.operations)])


@dataclass(frozen=True)
class Verdict:
    violations: tuple[Violation, ...]

    @property
    def accepted(self) -> bool:
        return not self.violations

    def __str__(self) -> str:
        return "\n".join([f"{len(self.violations)} violations", *map(str, self.violations)])


def violation(rule: Rule, text: str, *operations: Operation) -> Violation:
    """Build a violation about the place of the first operation."""
    shown = tuple(sorted(set(operations), key=lambda each: (each.invoked, each.number)))
    return Violation(rule, where(operations[0]), operations[0].slot, text, shown)


def where(source: Operation | Row | Place) -> str:
    """Return a site and its resources as one word."""
    return f"{source.site}/{'+'.join(source.resources)}"


def describe(operation: Operation) -> str:
    """Return an operation as one line."""
    returned = f"{operation.returned:9.3f}" if operation.returned is not None else "    never"
    details = {
        "id": operation.appointment_id,
        "patient": operation.patient,
        "key": operation.key,
        "token": operation.token,
        "minutes": operation.minutes,
        "service": operation.service and operation.service.id,
        "move": operation.move_id,
        "asked": operation.asked and f"{operation.asked:.3f}",
        "until": operation.expires and f"{operation.expires:.3f}",
    }
    asked = " ".join(
        [where(operation), operation.slot, *(f"{name}={value}" for name, value in details.items() if value)]
    )
    answer = " ".join(str(part) for part in (operation.status, operation.error) if part)
    return (
        f"{operation.invoked:9.3f} – {returned} s  #{operation.number} {operation.client}"
        f" {operation.kind} via {operation.via} {asked} → {operation.outcome} {answer}".rstrip()
        + (" (replayed)" if operation.replayed else "")
        + (f" at {_at(operation.told.place)} {operation.told.status}" if operation.told else "")
        + "".join(f"; {each.version} {each.type} {_at(each.place)}" for each in operation.changes or ())
    )


def _at(place: Place) -> str:
    length = "" if place.minutes is None else f"/{place.minutes}"
    service = "" if place.service is None else f" with {place.service.id}"
    return f"{'+'.join(place.resources)} {place.slot}{length}{service}"
