"""The history of a run: the operations as their callers saw them, the final rows, and the faults."""

from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from tests.callers import Kind
from tests.proof.faults.places import BookingState, Change, Claim, Place, Service

Outcome = Literal["ok", "refused", "not_executed", "unknown"]
Via = Literal["http", "nats", "command"]
REQUEST_TIMEOUT_SECONDS = 5.0
"""The gateway starts no attempt after this time. A worker counts a missing deadline from the receipt."""
ATTEMPT_SECONDS = REQUEST_TIMEOUT_SECONDS / 3
"""A gateway waits this long for the answer to an attempt before it sends the next one."""
HEALTHY, GONE, TRAP = "healthy", "gone", "trap"
"""Receivers of webhooks: one that works, one that answers 410, and the target of a redirect."""


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
    """The requested resources, all or nothing; for a get, the known ones; for a move, the changed ones."""
    slot: str
    """The canonical instant, such as 2031-05-04T09:00:00.000Z; for a list, the start of its window."""
    patient: str
    key: str | None
    """The idempotency key that the caller sent."""
    token: str | None
    """The hold token that the caller sent."""
    invoked: float
    returned: float | None
    """None: no answer arrived, and the outcome counts as unknown."""
    outcome: Outcome
    """ok: 201 or 200; refused: 4xx; not_executed: 503; unknown: 504, lost or timed out."""
    status: int | None = None
    error: str | None = None
    """The text of a refusal."""
    error_type: str | None = None
    """The class of a refusal, from its header `Error-Type`."""
    appointment_id: str | None = None
    """The id in a 201, or the id in the request."""
    replayed: bool = False
    expires: float | None = None
    """When a granted hold expires, on the run's clock."""
    deadline: float | None = None
    """The latest time at which a change may start, on the run's clock; None: unknown."""
    asked: float | None = None
    """The `askedAt` that the service received, on the run's clock; None: it received none."""
    gone_by: float | None = None
    """The operation takes effect before this time or never; None: no such time is known."""
    minutes: int | None = None
    """The duration; None: the instant alone."""
    service: Service | None = None
    until: str = ""
    """The end of a list's window."""
    move_id: str | None = None
    attendance: str | None = None
    """What an amendment notes."""
    told: BookingState | None = None
    """The booking's place and status in the answer; None: absent, or not judged."""
    changes: tuple[Change, ...] | None = None
    """The entries of a history in the answer."""
    listed: tuple[tuple[str, BookingState], ...] = ()
    """The bookings of a list, by their ids."""
    taken: tuple[tuple[str, str], ...] = ()
    """The taken cells of the window, each with `booked` or `held`."""

    @property
    def place(self) -> Place:
        return Place(self.site, self.resources, self.slot, self.minutes, self.service)

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
        """When the answer arrived; if the outcome is unknown, the latest time at which it may take effect."""
        if self.unknown or self.returned is None:
            return inf if self.gone_by is None else self.gone_by
        return self.returned


@dataclass(frozen=True)
class Row:
    """A booking in MongoDB, read after all faults were healed."""

    id: str
    site: str
    resources: tuple[str, ...]
    slot: str
    patient: str | None
    key: str
    status: str
    created: float | None = None
    """Its `createdAt`, on the run's clock."""
    minutes: int | None = None
    service: Service | None = None
    version: int = 1
    attendance: str | None = None
    history: tuple[Change, ...] = ()
    """Empty: the history is unknown, and the booking counts as never moved."""
    stored: frozenset[Claim] | None = None
    """The stored claims; None: unknown."""

    @property
    def place(self) -> Place:
        return Place(self.site, self.resources, self.slot, self.minutes, self.service)

    @property
    def first(self) -> Place:
        """The place of the first history entry."""
        return self.history[0].place if self.history else self.place

    @property
    def state(self) -> BookingState:
        return BookingState(self.place, self.status, self.patient is not None, self.attendance)

    @cached_property
    def claims(self) -> frozenset[Claim]:
        return self.place.claims


@dataclass(frozen=True)
class Event:
    """A message in the stream of events; `id` is its `ce-id`, `booking` the booking's id."""

    id: str
    booking: str
    change: Change
    previous: Place | None = None
    """The place that a move left."""
    stored: float | None = field(default=None, compare=False)
    """When the stream stored it, on the run's clock; None: unknown."""


@dataclass(frozen=True)
class Delivery:
    """An attempt to deliver an event, as a receiver of webhooks got it."""

    receiver: str
    event: str
    """Its `webhook-id`."""
    at: float
    genuine: bool = True
    """Whether its signature is valid, and its body is that of the event."""


@dataclass(frozen=True)
class Webhooks:
    """The deliveries of a run, in their order; `ended`: when the endpoint that answers 410 was disabled."""

    deliveries: tuple[Delivery, ...]
    ended: float | None


@dataclass(frozen=True)
class Fault:
    """An injected fault; `ended` is None if it lasted to the end of the run."""

    kind: str
    began: float
    ended: float | None
    target: str = ""


@dataclass(frozen=True)
class History:
    operations: tuple[Operation, ...]
    rows: tuple[Row, ...]
    faults: tuple[Fault, ...] = ()
    events: tuple[Event, ...] | None = None
    """The stream in its order; None: it was not read."""
    webhooks: Webhooks | None = None
    """None: the run had no receivers."""

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
