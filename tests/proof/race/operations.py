"""What was asked, what was answered, and when: the record that is judged."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tests.proof.race.options import Via

Json = dict[str, Any]
Kind = Literal["book", "hold", "get", "list", "cancel", "release", "slots"]
# race: all at once. Afterwards, one by one: a stranger asks for a held slot, the holder claims it,
# a latecomer asks for the booked slot, and the winner's appointment is read back. Then what is booked is
# found, cancelled or released, and the slot is raced for again or seen to be free.
Step = Literal["race", "stranger", "claim", "late", "read", "find", "cancel", "release", "free"]
Outcome = Literal["done", "refused", "not_executed", "unknown"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply, or why there is none that can be read; `sent` is false if nothing left the client."""

    status: int | None
    body: Json | None = None
    problem: str | None = None
    sent: bool = True

    @property
    def answered(self) -> bool:
        return self.problem is None and self.status is not None and self.status < 500

    @property
    def outcome(self) -> Outcome:
        if self.status is None and not self.sent:
            return "not_executed"
        if self.answered and self.status is not None:
            return "done" if self.status < 300 else "refused"
        refused_unexecuted = self.status == 503 and (self.body or {}).get("outcome") == "not_executed"
        return "not_executed" if refused_unexecuted else "unknown"

    @property
    def error(self) -> str | None:
        said = (self.body or {}).get("error")
        return self.problem or (None if said is None else str(said))

    @property
    def text(self) -> str:
        return self.error or str((self.body or {}).get("message", ""))

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.status or ""), self.text) if part)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. A booking that `follows` is released once a hold of its slot was granted."""

    ordinal: int
    step: Step
    kind: Kind
    via: Via
    slot: str
    request_id: str
    body: Json
    follows: bool = False
    round: int = 1
    """Each time that the slot is raced for."""

    @property
    def patient(self) -> str:
        return str(self.body.get("patientName", ""))

    @property
    def resources(self) -> frozenset[str]:
        """What is asked for, all of it or nothing; none of a read."""
        return frozenset(self.body.get("resources", ()))


@dataclass(frozen=True, slots=True)
class Operation:
    """An ask and its answer; times are monotonic seconds since the run began."""

    ask: Ask
    invoked: float
    returned: float
    answer: Answer

    @property
    def milliseconds(self) -> float:
        return (self.returned - self.invoked) * 1000

    @property
    def confirmed(self) -> bool:
        return self.ask.kind == "book" and self.answer.status == 201

    @property
    def granted(self) -> bool:
        return self.ask.kind == "hold" and self.answer.status == 200

    def rivals(self, other: "Operation") -> bool:
        """Whether at most one of the two can have what it asks for."""
        return self.ask.slot == other.ask.slot and bool(self.ask.resources & other.ask.resources)


@dataclass(frozen=True, slots=True)
class Run:
    site: str
    resources: tuple[str, ...]
    began_at: datetime
    race_seconds: float
    operations: tuple[Operation, ...]


def tally(operations: Iterable[Operation]) -> str:
    """The answers and how often each came: `3 x 503 No worker is there, 1 x no answer in 15 s`."""
    counts = Counter(str(operation.answer) for operation in operations)
    return ", ".join(f"{count} x {answer}" for answer, count in counts.most_common())
