"""What happened in a run: the operations as their callers saw them, the rows at the end, the faults."""

from dataclasses import dataclass
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from tests.proof.faults.places import Change, Claim, Place, Standing

Kind = Literal["book", "hold", "release", "get", "cancel", "move", "history", "list", "slots"]
Outcome = Literal["ok", "refused", "not_executed", "unknown"]
Via = Literal["http", "nats"]
REQUEST_TIMEOUT_SECONDS = 5.0
AN_ATTEMPT_SECONDS = REQUEST_TIMEOUT_SECONDS / 3
"""After so long without an answer a gateway sends a request again."""
"""After this the gateway starts no attempt. (A worker that is told no deadline counts from the receipt.)"""


@dataclass(frozen=True)
class Operation:
    """One request of one caller. Times are seconds since the run began, on one monotonic clock."""

    number: int
    """Unique in a history."""
    client: str
    kind: Kind
    via: Via
    site: str
    resources: tuple[str, ...]
    """What is asked for, all or nothing; of a get, as far as its caller knows; of a move, what changes."""
    slot: str
    """The canonical instant, such as 2031-05-04T09:00:00.000Z; of a list, the first of its window."""
    patient: str
    key: str | None
    """The idempotency key that the caller sent."""
    token: str | None
    """The hold token that the caller sent."""
    invoked: float
    returned: float | None
    """None: it never returned, and is treated as unknown."""
    outcome: Outcome
    """ok: 201 or 200; refused: 4xx; not_executed: 503; unknown: 504, lost, timed out."""
    status: int | None = None
    error: str | None = None
    """The text of a refusal."""
    error_type: str | None = None
    """The class of a refusal, as its header `Error-Type` names it."""
    appointment_id: str | None = None
    """Of a 201, or the one that is asked about."""
    replayed: bool = False
    expires: float | None = None
    """When a granted hold ends, on the run's clock."""
    deadline: float | None = None
    """When a change may be started at the latest, on the run's clock; None: that is not known."""
    asked: float | None = None
    """When its caller asked, on the run's clock, as the service knows it; None: the service is not told."""
    gone_by: float | None = None
    """The operation takes effect before that moment or never; None: no such moment is known."""
    minutes: int | None = None
    """How long it lasts; None: the instant alone."""
    until: str = ""
    """Where the window of a list ends."""
    move_id: str | None = None
    told: Standing | None = None
    """Where and how the booking is, as the answer says; None: it says nothing, or is not judged."""
    changes: tuple[Change, ...] | None = None
    """What a history tells."""
    listed: tuple[tuple[str, Standing], ...] = ()
    """The bookings of a list, by their ids."""
    taken: tuple[tuple[str, str], ...] = ()
    """What of the window is taken, each instant of it: `booked` or `held`."""

    @property
    def place(self) -> Place:
        return Place(self.site, self.resources, self.slot, self.minutes)

    @cached_property
    def claims(self) -> frozenset[Claim]:
        return self.place.claims

    @property
    def unknown(self) -> bool:
        return self.outcome == "unknown" or self.returned is None

    @property
    def ok(self) -> bool:
        return self.outcome == "ok" and self.returned is not None

    @property
    def refused(self) -> bool:
        return self.outcome == "refused" and self.returned is not None

    @property
    def end(self) -> float:
        """When its answer came; for one that is unknown, the end of the time in which it may take effect."""
        if self.unknown or self.returned is None:
            return inf if self.gone_by is None else self.gone_by
        return self.returned


@dataclass(frozen=True)
class Row:
    """A booking read back after the run healed."""

    id: str
    site: str
    resources: tuple[str, ...]
    slot: str
    patient: str
    key: str
    status: str
    created: float | None = None
    """When it says that it was made, on the run's clock."""
    minutes: int | None = None
    version: int = 1
    history: tuple[Change, ...] = ()
    """Empty: that it has lain where it lies is all that is known."""
    stored: frozenset[Claim] | None = None
    """The claims that it has; None: that is not known."""

    @property
    def place(self) -> Place:
        return Place(self.site, self.resources, self.slot, self.minutes)

    @property
    def first(self) -> Place:
        """Where it was booked."""
        return self.history[0].place if self.history else self.place

    @property
    def standing(self) -> Standing:
        return Standing(self.place, self.status)

    @cached_property
    def claims(self) -> frozenset[Claim]:
        return self.place.claims


@dataclass(frozen=True)
class Fault:
    """Something that was broken on purpose; `ended` is None where it lasted to the end of the run."""

    kind: str
    began: float
    ended: float | None
    target: str = ""


@dataclass(frozen=True)
class History:
    operations: tuple[Operation, ...]
    rows: tuple[Row, ...]
    faults: tuple[Fault, ...] = ()

    def to_json(self) -> str:
        return _JSON.dump_json(self, indent=1).decode()

    @classmethod
    def from_json(cls, text: str) -> "History":
        return _JSON.validate_json(text)

    def save(self, path: Path) -> None:
        path.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "History":
        return cls.from_json(path.read_text(encoding="utf-8"))


_JSON = TypeAdapter(History)
