"""Compute a booking as a move would leave it."""

from shared.contract.commands import MoveRequest
from shared.domain.booking import Booking
from shared.domain.claim import Claims
from shared.domain.done_move import DoneMove
from shared.domain.grid import Grid, RequestedPlace
from shared.domain.schedule.services import with_service
from shared.domain.schedule.site import SiteSchedules


def moved(
    booking: Booking,
    request: MoveRequest,
    move: DoneMove,
    grid: Grid,
    schedules: SiteSchedules,
    *,
    actor: str | None = None,
) -> Booking:
    """Return the booking after a move; with the same version if it is at that place already.

    Fields that the request omits keep the booking's values, its service and buffers among them.

    Raises:
        InvalidRequest: the place does not fit the grid, has too many claims, or does not offer the service.
    """
    resources, slot = request.resources or booking.resources, request.slot or booking.slot
    if request.service is None:
        minutes, service = request.durationMinutes or booking.duration, booking.service
        target = RequestedPlace(booking.site, resources, slot, minutes)
    else:
        asked = RequestedPlace(booking.site, resources, slot, request.durationMinutes)
        target, service = with_service(asked, request.service, schedules.by_resource)
    slot_range = grid.slot_range(target, service)
    return booking.moved(target.resources, slot_range, Claims.of(target, slot_range), move, actor)
