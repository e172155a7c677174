"""Use cases of holds: place and extend. Knows no transport.

The hold is placed first and MongoDB read after it: a booking that was made before is then seen, and one
that comes later finds the hold. Read first, a booking made in between would be left with a hold. One
that is being made at that moment is waited for. Then the hold is granted (`shared/stores/redis/holds.py`
says why).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from hold_worker.intent_watch import IntentWatch
from shared.contract.commands import PlaceHold
from shared.contract.deadline import Deadline
from shared.contract.errors import NotExecuted, OutcomeUnknown, SlotAlreadyBooked, SlotHeld
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.grid import Grid, Span
from shared.stores.mongo.bookings import BookingStore, InSite
from shared.stores.mongo.schema import Schema
from shared.stores.redis.holds import HoldStore
from shared.stores.redis.keys import Holder
from shared.worker.batcher import Batcher


@dataclass(frozen=True)
class Held:
    """A hold that stands: `seconds` from now until `expires_at`."""

    token: str
    span: Span
    expires_at: datetime
    seconds: int


class HoldService:
    """Places holds in Redis, on slots that MongoDB says are not booked."""

    def __init__(
        self, bookings: BookingStore, holds: HoldStore, schema: Schema, grid: Grid, digests: Digests
    ) -> None:
        self._bookings = bookings
        self._holds = holds
        self._schema = schema
        self._grid = grid
        self._digests = digests
        self._looks = Batcher(self._look)
        self._intents = IntentWatch(holds)

    async def place_hold(self, command: PlaceHold, deadline: Deadline) -> Held:
        """Hold a slot of all the resources that are asked for, or extend the hold with the command's token.

        Raises:
            SlotAlreadyBooked, SlotHeld, InvalidRequest, NotExecuted, OutcomeUnknown
        """
        self._schema.require()
        span = self._grid.span_of(command)
        claims = Claims.of(command, span)
        holder = Holder(command.holdToken or str(uuid4()), self._digests.of_name(command.patientName))
        placed = await self._holds.place(claims, holder, seconds=deadline.remaining)
        try:
            booked = await self._find_out(claims, placed.intents if placed else [], deadline)
        except (NotExecuted, OutcomeUnknown) as error:
            if placed and await self._holds.withdraw(claims, holder):
                raise OutcomeUnknown from None  # some was granted before, and may be extended now
            raise error if isinstance(error, NotExecuted) else NotExecuted() from None
        if booked:
            if placed:
                await self._holds.withdraw(claims, holder, booked)
            raise SlotAlreadyBooked
        if placed is None:
            raise SlotHeld
        granted = await self._holds.grant(claims, holder, placed)
        if granted is None:
            raise OutcomeUnknown  # lost, or withdrawn by an earlier attempt that ended late
        return Held(holder.token, span, granted.expires_at, granted.milliseconds // 1000)

    async def _find_out(self, claims: Claims, intents: Sequence[str], deadline: Deadline) -> set[str]:
        """The claims that are booked, once the bookings that had an intent are decided."""
        try:
            async with asyncio.timeout(deadline.remaining):
                while not (booked := await self._find_booked(claims, deadline)) and intents:
                    intents = await self._intents.next_change(claims, intents)
                return booked
        except TimeoutError:
            raise NotExecuted from None

    async def _find_booked(self, claims: Claims, deadline: Deadline) -> set[str]:
        booked = await self._looks.submit((claims, deadline))
        return {claim for _, claim in booked & claims.in_site}

    async def _look(self, asked: Sequence[tuple[Claims, Deadline]]) -> list[frozenset[InSite]]:
        """Look for what is booked of several claims at once."""
        claims = {claim for each, _ in asked for claim in each.in_site}
        latest = max(deadline.remaining for _, deadline in asked)
        found = await self._bookings.find(claims=claims, timeout=latest)
        return [found.booked] * len(asked)
