"""What happened in a run: the operations as their callers saw them, the rows at the end, the faults."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any, Literal

Kind = Literal["book", "hold", "get"]
Outcome = Literal["ok", "refused", "not_executed", "unknown"]
Via = Literal["http", "nats"]
Claim = tuple[str, str, str]
"""What at most one booking may own: a site, a resource in it, an instant."""
REQUEST_TIMEOUT_SECONDS = 5.0
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
    """What is asked for, all of it or nothing; of a get, as far as its caller knows."""
    slot: str
    """The canonical instant, such as 2031-05-04T09:00:00.000Z."""
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
    appointment_id: str | None = None
    """Of a 201, or the one that a get asked for."""
    replayed: bool = False
    expires: float | None = None
    """When a granted hold ends, on the run's clock."""
    deadline: float | None = None
    """When a booking may be started at the latest, on the run's clock; None: that is not known."""

    @cached_property
    def claims(self) -> frozenset[Claim]:
        return claims_of(self)

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
        """When its answer came; never, for one that is unknown: it may take effect at any later time."""
        return inf if self.unknown or self.returned is None else self.returned


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

    @cached_property
    def claims(self) -> frozenset[Claim]:
        return claims_of(self)


def claims_of(source: Operation | Row) -> frozenset[Claim]:
    """Everything that a request, or a booking, claims."""
    return frozenset((source.site, resource, source.slot) for resource in source.resources)


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
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "History":
        stored: dict[str, Any] = json.loads(text)
        return cls(
            operations=tuple(Operation(**_restored(each)) for each in stored["operations"]),
            rows=tuple(Row(**_restored(each)) for each in stored["rows"]),
            faults=tuple(Fault(**each) for each in stored["faults"]),
        )

    def save(self, path: Path) -> None:
        path.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "History":
        return cls.from_json(path.read_text(encoding="utf-8"))


def _restored(stored: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no tuples."""
    return {**stored, "resources": tuple(stored["resources"])}
