"""Find the bookings that conflict on a new grid, before anything is changed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared.contract.errors import InvalidRequest
from shared.contract.instants import EPOCH, format_instant
from shared.domain.claim import Claims
from shared.domain.grid import Grid, SlotRange
from shared.stores.mongo.regridding import BookedPlace, TargetGrid

MOST_NAMED = 20


class Unfit(Exception):
    """A booking cannot be on the new grid, independently of other bookings. The text has no name."""


@dataclass(frozen=True)
class Conflict:
    """Two bookings that touch the same cell of a resource on the new grid."""

    site: str
    resource: str
    cell: datetime
    ids: tuple[str, str]

    def __str__(self) -> str:
        first, second = self.ids
        return (
            f"{first} and {second} share the cell {format_instant(self.cell)} of {self.resource} "
            f"(site {self.site})"
        )


@dataclass
class Obstacles:
    """The number of obstacles, and the texts of the first `MOST_NAMED`."""

    count: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, obstacle: object) -> None:
        self.count += 1
        if len(self.named) < MOST_NAMED:
            self.named.append(str(obstacle))


def placed_on(target: TargetGrid, booked: BookedPlace) -> tuple[SlotRange, Claims]:
    """Return the time and the claims that a worker of the new grid would give a booking.

    Raises:
        Unfit: the booking cannot be on that grid.
    """
    duration = booked.durationMinutes
    if target.minutes == 0 and duration is not None:
        raise Unfit(f"{booked.id} takes {duration} minutes, and would be an instant")
    if target.minutes and duration is None:
        if target.duration is None:
            raise Unfit(f"{booked.id} has no duration: name one with --duration")
        duration = target.duration
    place = replace(booked, durationMinutes=duration)
    try:
        slot_range = Grid(target.minutes).slot_range(place)
        return slot_range, Claims.of(place, slot_range)
    except InvalidRequest as error:
        raise Unfit(f"{booked.id}: {error}") from None


async def find_obstacles(bookings: AsyncIterator[BookedPlace], target: TargetGrid) -> Obstacles:
    """Find the obstacles on the new grid; `bookings` are ordered by site and slot.

    Memory holds only the bookings of one site that reach into the current cell.
    """
    obstacles = Obstacles()
    site: str | None = None
    open_until: dict[str, list[tuple[int, str]]] = {}  # resource -> [(last cell in Unix ms, id)]
    async for booked in bookings:
        if booked.site != site:
            site, open_until = booked.site, {}
        try:
            _, claims = placed_on(target, booked)
        except Unfit as unfit:
            obstacles.add(unfit)
            continue
        for resource, (first, last) in _cell_ranges(claims).items():
            reaching = [(end, id_) for end, id_ in open_until.get(resource, []) if end >= first]
            cell = EPOCH + timedelta(milliseconds=first)
            for _, earlier in reaching:
                obstacles.add(Conflict(booked.site, resource, cell, (earlier, booked.id)))
            open_until[resource] = [*reaching, (last, booked.id)]
    return obstacles


def _cell_ranges(claims: Claims) -> dict[str, tuple[int, int]]:
    """Return the first and the last cell (Unix ms) of every resource."""
    cells: dict[str, list[int]] = {}
    for claim in claims.keys:
        resource, _, cell = claim.rpartition("/")
        cells.setdefault(resource, []).append(int(cell))
    return {resource: (min(starts), max(starts)) for resource, starts in cells.items()}
