"""Where bookings lie: a site, resources in it, an instant and how long from there; and what that claims."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Literal

Claim = tuple[str, str, str]
"""What at most one booking may own: a site, a resource in it, an instant."""
GRID_MINUTES = 15
"""The grid of the services of a run."""


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
            (self.site, resource, instant)
            for resource in self.resources
            for instant in instants(self.slot, self.minutes)
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
        """Whether it lies in the window; of an instant alone, whether that does."""
        return any(since <= instant < until for instant in instants(self.slot, self.minutes))


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
def instants(slot: str, minutes: int | None) -> tuple[str, ...]:
    """The instants of the grid from a slot on."""
    if minutes is None:
        return (slot,)
    first = datetime.fromisoformat(slot)
    return tuple(slot_text(first + timedelta(minutes=after)) for after in range(0, minutes, GRID_MINUTES))


def slot_text(instant: datetime) -> str:
    """The canonical form of an instant."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03}Z"
