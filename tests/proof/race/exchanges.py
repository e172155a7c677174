"""The record of a run: each request, its answer, and their times."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tests.callers import Kind
from tests.proof.faults.history import Outcome, Via

Json = dict[str, Any]
# Step "race": all requests at once. Then, one after the other: a stranger requests the held slot, the holder
# books it (claim), a latecomer requests the booked slot, and the winner's appointment is read. After that
# the bookings are listed (find), cancelled or released, and the slot is raced for again or read as free.
Step = Literal["race", "stranger", "claim", "late", "read", "find", "cancel", "release", "free"]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, or the reason why no answer can be read; `sent` is false if nothing left the client."""

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
            return "ok" if self.status < 300 else "refused"
        refused_unexecuted = self.status == 503 and (self.body or {}).get("outcome") == "not_executed"
        return "not_executed" if refused_unexecuted else "unknown"

    @property
    def error(self) -> str | None:
        error = (self.body or {}).get("error")
        return self.problem or (None if error is None else str(error))

    @property
    def text(self) -> str:
        return self.error or str((self.body or {}).get("message", ""))

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.status or ""), self.text) if part)


@dataclass(frozen=True, slots=True)
class Request:
    """One request. If `follows` is set, it is sent once a hold of its slot was granted."""

    ordinal: int
    step: Step
    kind: Kind
    via: Via
    slot: str
    request_id: str
    body: Json
    follows: bool = False
    round: int = 1
    """The number of the race for this slot."""

    @property
    def patient(self) -> str:
        return str(self.body.get("patientName", ""))

    @property
    def resources(self) -> frozenset[str]:
        """The requested resources, all or nothing; empty for a read."""
        return frozenset(self.body.get("resources", ()))


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer; times are monotonic seconds since the run began."""

    request: Request
    invoked: float
    returned: float
    reply: Reply

    @property
    def milliseconds(self) -> float:
        return (self.returned - self.invoked) * 1000

    @property
    def confirmed(self) -> bool:
        return self.request.kind == "book" and self.reply.status == 201

    @property
    def granted(self) -> bool:
        return self.request.kind == "hold" and self.reply.status == 200

    def rivals(self, other: "Exchange") -> bool:
        """Whether at most one of the two requests can succeed."""
        return self.request.slot == other.request.slot and bool(
            self.request.resources & other.request.resources
        )


@dataclass(frozen=True, slots=True)
class Run:
    site: str
    resources: tuple[str, ...]
    began_at: datetime
    race_seconds: float
    exchanges: tuple[Exchange, ...]


def tally(exchanges: Iterable[Exchange]) -> str:
    """Count equal answers: `3 x 503 No worker is there, 1 x no answer in 15 s`."""
    counts = Counter(str(exchange.reply) for exchange in exchanges)
    return ", ".join(f"{count} x {reply}" for reply, count in counts.most_common())
