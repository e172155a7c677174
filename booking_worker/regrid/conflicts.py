"""Find the bookings that conflict on a new grid, before anything is changed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import heappop, heappush

from shared.contract.errors import InvalidRequest
from shared.contract.instants import EPOCH, format_instant
from shared.contract.schedule_fields import MOST_BUFFER_MINUTES
from shared.domain.claim import Claims
from shared.domain.grid import Grid, SlotRange
from shared.stores.mongo.regridding import BookedPlace, TargetGrid

MOST_NAMED = 20
LONGEST_BUFFER = timedelta(minutes=MOST_BUFFER_MINUTES)


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
        slot_range = Grid(target.minutes).slot_range(place, booked.service)
        return slot_range, Claims.of(place, slot_range)
    except InvalidRequest as error:
        raise Unfit(f"{booked.id}: {error}") from None


async def find_obstacles(bookings: AsyncIterator[BookedPlace], target: TargetGrid) -> Obstacles:
    """Find the obstacles on the new grid; `bookings` are ordered by site and slot.

    Memory holds only the bookings of one site that reach into the current cell, or begin soon after it.
    """
    obstacles = Obstacles()
    site: str | None = None
    open_until: dict[str, list[tuple[int, str]]] = {}  # resource -> [(last cell in Unix ms, id)]
    async for booked in _by_begin(bookings):
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


async def _by_begin(bookings: AsyncIterator[BookedPlace]) -> AsyncIterator[BookedPlace]:
    """Yield bookings, which are ordered by site and slot, by site and the begin of their buffers."""
    waiting: list[tuple[datetime, str, BookedPlace]] = []  # a heap, of one site
    async for booked in bookings:
        while waiting and (
            booked.site != waiting[0][2].site or waiting[0][0] <= booked.slot - LONGEST_BUFFER
        ):
            yield heappop(waiting)[2]
        heappush(waiting, (booked.begin, booked.id, booked))
    while waiting:
        yield heappop(waiting)[2]


def _cell_ranges(claims: Claims) -> dict[str, tuple[int, int]]:
    """Return the first and the last cell (Unix ms) of every resource."""
    cells: dict[str, list[int]] = {}
    for claim in claims.keys:
        resource, _, cell = claim.rpartition("/")
        cells.setdefault(resource, []).append(int(cell))
    return {resource: (min(starts), max(starts)) for resource, starts in cells.items()}
