"""Compute a booking as a move would leave it."""

from dataclasses import dataclass
from datetime import datetime

from shared.contract.commands import MoveRequest
from shared.domain.booking import Booking
from shared.domain.claim import Claims
from shared.domain.done_move import DoneMove
from shared.domain.grid import Grid


@dataclass(frozen=True)
class MoveTarget:
    """The place that a move asks for; fields that it omits keep the booking's values."""

    site: str
    resources: tuple[str, ...]
    slot: datetime
    durationMinutes: int | None  # as the messages call it


def moved(
    booking: Booking, request: MoveRequest, move: DoneMove, grid: Grid, actor: str | None = None
) -> Booking:
    """Return the booking after a move; with the same version if it is at that place already.

    Raises:
        InvalidRequest: the place does not fit the grid, or has too many claims.
    """
    target = MoveTarget(
        booking.site,
        request.resources or booking.resources,
        request.slot or booking.slot,
        request.durationMinutes or booking.duration,
    )
    slot_range = grid.slot_range(target)
    return booking.moved(target.resources, slot_range, Claims.of(target, slot_range), move, actor)
