"""Use cases of holds: place and extend. Knows no transport.

The hold is set first and MongoDB read after it: a booking that was made before is then seen, and one
that comes later finds the hold. Read first, a booking made in between would be left with a hold.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import structlog

from shared.commands import PlaceHold
from shared.deadline import Deadline
from shared.errors import NotExecuted, OutcomeUnknown, SlotAlreadyBooked, SlotHeld
from shared.grid import Grid
from shared.stores.bookings import BookingStore
from shared.stores.holds import HoldClaim, HoldStore
from shared.stores.schema import Schema

log = structlog.get_logger()


@dataclass(frozen=True)
class Held:
    """A hold that stands: `seconds` from now until `expires_at`."""

    token: str
    expires_at: datetime
    seconds: int


class HoldService:
    """Places holds in Redis, on slots that MongoDB says are not booked."""

    def __init__(self, bookings: BookingStore, holds: HoldStore, schema: Schema, grid: Grid) -> None:
        self._bookings = bookings
        self._holds = holds
        self._schema = schema
        self._grid = grid

    async def place_hold(self, command: PlaceHold, deadline: Deadline) -> Held:
        """Hold a slot, or extend the hold with the command's token.

        Raises:
            SlotAlreadyBooked, SlotHeld, InvalidRequest, NotExecuted, OutcomeUnknown
        """
        if command.holdToken is None:
            command = command.model_copy(update={"holdToken": str(uuid4())})
        span = self._grid.place(command)
        claim = HoldClaim.of(command, span)
        placed = await self._holds.place(claim)
        slots = [(command.resource, instant) for instant in span.occupies]
        try:
            booked = await self._bookings.find_booked(slots, timeout=deadline.remaining)
        except OutcomeUnknown:
            await self._holds.remove(claim)
            raise NotExecuted from None
        if booked:
            await self._holds.remove(claim)
            raise SlotAlreadyBooked
        if placed is None:
            raise SlotHeld
        return Held(claim.token, placed.expires_at, placed.milliseconds // 1000)
