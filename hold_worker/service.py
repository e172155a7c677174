"""Use cases of holds: place, extend and release. Knows no transport.

The hold is placed first and MongoDB read after it: a booking that was made before is then seen, and one
that comes later finds the hold. Read first, a booking made in between would be left with a hold. One
that is being made at that moment is waited for. Then the hold is granted (`shared/stores/redis/holds.py`
says why). Each step is done for all holds together that are there.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

from hold_worker.intent_watch import IntentWatch
from shared.contract.commands import PlaceHold, ReleaseHold
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    BeingBooked,
    NoSuchHold,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    SlotAlreadyBooked,
    SlotHeld,
)
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.grid import Grid, Span
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.schema import Schema
from shared.stores.redis.holds import Granted, HoldStore, Placed, Wanted
from shared.stores.redis.keys import Holder
from shared.worker.batcher import Batcher

# How long a booking that is being made is waited for where others wait for the answer. The typed client asks
# again.
MOST_WAITING_SECONDS = 0.3


@dataclass(frozen=True, eq=False)
class Request:
    """A command to hold, with what came of it so far: `placed` is None where another holds a claim."""

    wanted: Wanted
    deadline: Deadline
    placed: Placed | None = None

    @property
    def weight(self) -> int:
        return len(self.wanted.claims.keys)


@dataclass(frozen=True)
class _Release:
    site: str
    token: str
    deadline: Deadline
    weight: int = 1


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
        self._places = Batcher(self._place_many, "place")
        self._decisions = Batcher(self._decide_many, "grant")
        self._releases = Batcher(self._release_many, "release")
        self._intents = IntentWatch(holds)

    async def place_hold(self, command: PlaceHold, deadline: Deadline, *, alone: bool = True) -> Held:
        """Hold a slot of all the resources that are asked for, or extend the hold with the command's token.

        Unless it is `alone`, others wait for its answer: then it does not wait long for a booking.

        Raises:
            SlotAlreadyBooked, SlotHeld, InvalidRequest, NotExecuted, OutcomeUnknown
        """
        self._schema.require()
        span = self._grid.span_of(command)
        holder = Holder(command.holdToken or str(uuid4()), self._digests.of_name(command.patientName))
        request = Request(Wanted(Claims.of(command, span), holder), deadline)
        request = replace(request, placed=await self._places.submit(request))
        soon = Deadline(min(deadline.unix_ms, Deadline.after(MOST_WAITING_SECONDS).unix_ms))
        patience = deadline if alone else soon
        while (granted := await self._decisions.submit(request)) is None:
            request = await self._wait_for_intents(request, patience)
        return Held(holder.token, span, granted.expires_at, granted.milliseconds // 1000)

    async def release_hold(self, command: ReleaseHold, deadline: Deadline) -> None:
        """Release all that the command's token holds in its site; what else the command says does not choose.

        Raises:
            NoSuchHold, InvalidRequest, NotExecuted, OutcomeUnknown
        """
        self._grid.span_of(command)
        if not await self._releases.submit(_Release(command.site, command.holdToken, deadline)):
            raise NoSuchHold

    async def _release_many(self, releases: Sequence[_Release], deadline: Deadline) -> list[bool | Refused]:
        return await self._holds.release_many([(each.site, each.token) for each in releases], deadline)

    async def _place_many(
        self, requests: Sequence[Request], deadline: Deadline
    ) -> Sequence[Placed | Refused | None]:
        return await self._holds.place_many([each.wanted for each in requests], deadline)

    async def _decide_many(
        self, requests: Sequence[Request], deadline: Deadline
    ) -> list[Granted | Refused | None]:
        """Grant what is placed and free; None for what has to wait, for somebody is booking it."""
        claims = {claim for each in requests for claim in each.wanted.claims.in_site}
        try:
            found = await self._bookings.find(claims=claims, timeout=deadline.remaining)
            deadline.check()  # nothing is granted after it
            self._schema.require()  # nor by a worker that slept, and may not know of another grid
        except (NotExecuted, OutcomeUnknown) as error:
            return list((await self._give_up(requests, error)).values())
        booked = {
            each: {claim for _, claim in found.booked & each.wanted.claims.in_site} for each in requests
        }
        refused = [each for each in requests if booked[each]]
        free = [each for each in requests if not booked[each] and each.placed and not each.placed.intents]
        outcomes: dict[Request, Granted | Refused | None] = {
            each: None if each.placed else SlotHeld() for each in requests
        }
        outcomes |= await self._withdraw(refused, SlotAlreadyBooked(), booked)
        outcomes |= zip(free, await self._grant(free), strict=True)
        return [outcomes[each] for each in requests]

    async def _grant(self, requests: Sequence[Request]) -> list[Granted | Refused]:
        try:
            granted = await self._holds.grant_many([(r.wanted, r.placed) for r in requests if r.placed])
        except OutcomeUnknown as unknown:
            return [unknown] * len(requests)
        # Else it was lost, released, or withdrawn by an earlier attempt that ended late.
        return [each or OutcomeUnknown() for each in granted]

    async def _wait_for_intents(self, request: Request, patience: Deadline) -> Request:
        """The request with one intent less at least.

        Raises:
            NotExecuted, OutcomeUnknown: the time for that was up before.
        """
        assert request.placed is not None  # noqa: S101 - what is not placed does not wait
        try:
            async with asyncio.timeout(patience.remaining):
                left = await self._intents.next_change(request.wanted.claims, request.placed.intents)
        except (NotExecuted, TimeoutError):
            raise (await self._give_up([request], BeingBooked()))[request] from None
        return replace(request, placed=replace(request.placed, intents=left))

    async def _give_up(
        self, requests: Collection[Request], error: NotExecuted | OutcomeUnknown
    ) -> dict[Request, Refused]:
        """Withdraw what cannot be granted, for it is not known whether it is free."""
        return await self._withdraw(requests, error if isinstance(error, NotExecuted) else NotExecuted(), {})

    async def _withdraw(
        self, requests: Collection[Request], refusal: Refused, booked: Mapping[Request, Set[str]]
    ) -> dict[Request, Refused]:
        """Withdraw what is refused, granted before or not where it is booked; what each is told."""
        outcomes = dict.fromkeys(requests, refusal)
        placed = [each for each in requests if each.placed]
        try:
            stay = await self._holds.withdraw_many(
                [(r.wanted, r.placed, booked.get(r, frozenset())) for r in placed if r.placed]
            )
        except OutcomeUnknown as unknown:
            return outcomes | dict.fromkeys(placed, unknown)
        for each, stays in zip(placed, stay, strict=True):
            # Its server did not say; or some of it was granted before, and may be extended now.
            if isinstance(stays, Refused) or (stays and isinstance(refusal, NotExecuted)):
                outcomes[each] = OutcomeUnknown()
        return outcomes
