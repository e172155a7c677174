"""Where a booking lies (site, resources, instant, duration), and the claims that follow from it.

This is written independently of the service's own rule, so that the checker can find an error in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any, Literal

from shared.process.settings import GridSettings

Claim = tuple[str, str, str]
"""A site, a resource in it and a cell: at most one booking may own it."""
GRID_MINUTES: int = GridSettings.model_fields["slot_minutes"].default
"""The width of a cell in a run's services."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Service:
    """A service as a booking has it, with the minutes that it claims before and after."""

    id: str
    before: int = 0
    after: int = 0

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Service | None":
        """Read the service of a row, an appointment, an event or a history entry."""
        if told.get("service") is None:
            return None
        return cls(told["service"], told.get("bufferBefore", 0), told.get("bufferAfter", 0))


VISIT, VISIT_MINUTES = Service("visit", 5, 5), 10
"""The service that all resources of a run offer, and its duration."""


@dataclass(frozen=True)
class Place:
    """The site, resources, slot, duration and service of a booking. `minutes` None: the instant alone.

    In a requested move, an empty field or None keeps the booking's own value.
    """

    site: str
    resources: tuple[str, ...]
    slot: str
    minutes: int | None = None
    service: Service | None = None

    @cached_property
    def claims(self) -> frozenset[Claim]:
        if not self.slot:
            return frozenset()
        return frozenset(
            (self.site, resource, cell)
            for resource in self.resources
            for cell in cells(self.slot, self.minutes, self.service)
        )

    def moved(self, asked: "Place") -> "Place":
        """Return the place after a move from here to `asked`."""
        return Place(
            self.site,
            asked.resources or self.resources,
            asked.slot or self.slot,
            asked.minutes or self.minutes,
            asked.service or self.service,
        )

    def overlaps(self, since: str, until: str) -> bool:
        """Whether the booking's time overlaps the window; for an instant alone, whether it lies in it."""
        if self.minutes is None:
            return since <= self.slot < until
        return self.slot < until and since < slot_text(
            datetime.fromisoformat(self.slot) + timedelta(minutes=self.minutes)
        )


@dataclass(frozen=True)
class BookingState:
    """The place and status of a booking in an answer, and whether it has a name: not once it is erased."""

    place: Place
    status: str
    named: bool = True
    attendance: str | None = None
    """None: the patient is expected."""


@dataclass(frozen=True)
class Change:
    """An entry of a booking's history. `at` is on the run's clock; only rows contain `move_id`."""

    type: Literal["booked", "moved", "cancelled", "erased", "renamed", "attendance"]
    place: Place
    version: int
    move_id: str | None = None
    at: float | None = None
    attendance: str | None = None
    """The new one, if it changed."""

    def agrees(self, other: "Change") -> bool:
        """Whether both entries can be the same change, as far as both are known."""
        known = None not in (self.move_id, other.move_id)
        same_id = not known or self.move_id == other.move_id
        mine, theirs = ((one.type, one.place, one.version, one.attendance) for one in (self, other))
        return mine == theirs and same_id


@lru_cache(100_000)
def cells(slot: str, minutes: int | None, service: Service | None = None) -> tuple[str, ...]:
    """Return the cells that the time from the slot on, with buffers, touches, each by its first instant."""
    if minutes is None:
        return (slot,)
    begin, cell = datetime.fromisoformat(slot), timedelta(minutes=GRID_MINUTES)
    end = begin + timedelta(minutes=minutes)
    if service is not None:
        begin, end = begin - timedelta(minutes=service.before), end + timedelta(minutes=service.after)
    first = begin - (begin - _EPOCH) % cell
    return tuple(slot_text(first + number * cell) for number in range(-((first - end) // cell)))


def slot_text(instant: datetime) -> str:
    """The canonical form of an instant."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03}Z"
