"""Use cases of holds: place and extend. Knows no transport.

The hold is set first and MongoDB read after it: a booking that was made before is then seen, and one
that comes later finds the hold. Read first, a booking made in between would be left with a hold. One
that is under way at that moment is waited for. Then the hold is granted
(`shared.stores.redis.holds` says why).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from shared.contract.commands import PlaceHold
from shared.contract.deadline import Deadline
from shared.contract.errors import NotExecuted, OutcomeUnknown, SlotAlreadyBooked, SlotHeld
from shared.domain.grid import Grid
from shared.stores.mongo.bookings import BookingStore, SlotKey
from shared.stores.mongo.schema import Schema
from shared.stores.redis.claims import HoldClaim
from shared.stores.redis.holds import HoldStore
from shared.worker.batcher import Batcher

POLL_SECONDS = 0.01


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
        self._looks = Batcher(self._look)

    async def place_hold(self, command: PlaceHold, deadline: Deadline) -> Held:
        """Hold a slot, or extend the hold with the command's token.

        Raises:
            SlotAlreadyBooked, SlotHeld, InvalidRequest, NotExecuted, OutcomeUnknown
        """
        self._schema.require()
        if command.holdToken is None:
            command = command.model_copy(update={"holdToken": str(uuid4())})
        span = self._grid.span_of(command)
        claim = HoldClaim.of(command, span)
        placed = await self._holds.place(claim)
        try:
            booked = await self._find_out(claim, placed.under_way if placed else [], deadline)
        except (NotExecuted, OutcomeUnknown) as error:
            if placed and await self._holds.take_back(claim):
                raise OutcomeUnknown from None  # some was granted before, and may be extended now
            raise error if isinstance(error, NotExecuted) else NotExecuted() from None
        if booked:
            if placed:
                await self._holds.take_back(claim, booked)
            raise SlotAlreadyBooked
        if placed is None:
            raise SlotHeld
        if not await self._holds.grant(claim, placed):
            raise OutcomeUnknown  # lost, or taken back by an earlier attempt that ended late
        return Held(claim.token, placed.expires_at, placed.milliseconds // 1000)

    async def _find_out(
        self, claim: HoldClaim, under_way: Sequence[str], deadline: Deadline
    ) -> set[datetime]:
        """The instants that are booked, once the bookings that were under way are decided."""
        undecided: Sequence[str] | None = None
        while True:
            under_way = await self._holds.still_under_way(claim, under_way)
            if under_way != undecided:
                booked = await self._find_booked(claim, deadline)
                if booked or not under_way:
                    return booked
            undecided = under_way
            deadline.check()
            await asyncio.sleep(POLL_SECONDS)

    async def _find_booked(self, claim: HoldClaim, deadline: Deadline) -> set[datetime]:
        try:
            async with asyncio.timeout(deadline.remaining):
                booked = await self._looks.submit((claim, deadline))
        except TimeoutError:
            raise OutcomeUnknown from None
        return {instant for _, instant in booked.intersection(claim.slots)}

    async def _look(self, asked: Sequence[tuple[HoldClaim, Deadline]]) -> list[set[SlotKey] | Exception]:
        """Look for what is booked of several claims at once: they would wait for each other's fences."""
        slots = {slot for claim, _ in asked for slot in claim.slots}
        latest = max(deadline.remaining for _, deadline in asked)
        return [await self._bookings.find_booked(slots, timeout=latest)] * len(asked)
