"""Where bookings lie: a site, resources in it, an instant and how long from there; and what that claims.

Written by itself, apart from the service's own rule.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Literal

from shared.process.settings import GridSettings

Claim = tuple[str, str, str]
"""What at most one booking may own: a site, a resource in it, a cell."""
GRID_MINUTES: int = GridSettings.model_fields["slot_minutes"].default
"""The grid of the services of a run."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Place:
    """`minutes` None: the instant alone. In what a move asks for, empty and None: as it is."""

    site: str
    resources: tuple[str, ...]
    slot: str
    minutes: int | None = None

    @cached_property
    def claims(self) -> frozenset[Claim]:
        if not self.slot:
            return frozenset()
        return frozenset(
            (self.site, resource, cell)
            for resource in self.resources
            for cell in cells(self.slot, self.minutes)
        )

    def moved(self, asked: "Place") -> "Place":
        """Where a booking lies that is moved from here as asked."""
        return Place(
            self.site,
            asked.resources or self.resources,
            asked.slot or self.slot,
            asked.minutes or self.minutes,
        )

    def overlaps(self, since: str, until: str) -> bool:
        """Whether it lasts into the window; of an instant alone, whether that lies in it."""
        if self.minutes is None:
            return since <= self.slot < until
        return self.slot < until and since < slot_text(
            datetime.fromisoformat(self.slot) + timedelta(minutes=self.minutes)
        )


@dataclass(frozen=True)
class Standing:
    """What an answer tells of a booking."""

    place: Place
    status: str


@dataclass(frozen=True)
class Change:
    """An entry of a booking's history; `at` is on the run's clock, `move_id` is known of rows only."""

    type: Literal["booked", "moved", "cancelled"]
    place: Place
    version: int
    move_id: str | None = None
    at: float | None = None

    def agrees(self, other: "Change") -> bool:
        """Whether both can be one and the same change, as far as is known of both."""
        known = None not in (self.move_id, other.move_id)
        return (self.type, self.place, self.version) == (other.type, other.place, other.version) and (
            not known or self.move_id == other.move_id
        )


@lru_cache(100_000)
def cells(slot: str, minutes: int | None) -> tuple[str, ...]:
    """The cells that the time from a slot on touches, by their first instants."""
    if minutes is None:
        return (slot,)
    begin, cell = datetime.fromisoformat(slot), timedelta(minutes=GRID_MINUTES)
    end = begin + timedelta(minutes=minutes)
    first = begin - (begin - _EPOCH) % cell
    return tuple(slot_text(first + number * cell) for number in range(-((first - end) // cell)))


def slot_text(instant: datetime) -> str:
    """The canonical form of an instant."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03}Z"
