"""Where a move takes a booking."""

from dataclasses import dataclass
from datetime import datetime

from shared.contract.commands import MoveRequest
from shared.domain.booking import Booking
from shared.domain.claim import Claims
from shared.domain.done_move import DoneMove
from shared.domain.grid import Grid


@dataclass(frozen=True)
class MoveTarget:
    """A place of a move: what it does not say stays as it is."""

    site: str
    resources: tuple[str, ...]
    slot: datetime
    durationMinutes: int | None  # as the messages call it


def moved(booking: Booking, request: MoveRequest, move: DoneMove, grid: Grid) -> Booking:
    """The booking as a move would leave it: with the same version if it lies there already.

    Raises:
        InvalidRequest: that does not fit the grid, or would claim too much.
    """
    target = MoveTarget(
        booking.site,
        request.resources or booking.resources,
        request.slot or booking.slot,
        request.durationMinutes or booking.duration,
    )
    slot_range = grid.slot_range(target)
    return booking.moved(target.resources, slot_range, Claims.of(target, slot_range), move)
