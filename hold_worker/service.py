"""Use cases of holds: place, extend and release. Knows no transport.

The hold is placed first and MongoDB read after it: a booking that was made before is then seen, and one
that comes later finds the hold. Read first, a booking made in between would be left with a hold. A hold that
meets the intent of a booking is refused, and the client repeats it. Then the hold is granted
(`shared/stores/redis/holds.py` says why). Each step is done for all holds together that are there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

from shared.contract.asked_at import unix_ms_now
from shared.contract.commands import DEFAULT_RESOURCES, PlaceHold, ReleaseHold
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    BeingBooked,
    NoPrimary,
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
from shared.stores.mongo.bookings import BookingStore, Found
from shared.stores.mongo.schema import Schema
from shared.stores.redis.holds import Granted, HoldStore, Placed, Release, Wanted
from shared.stores.redis.keys import Holder
from shared.worker.batcher import Batcher


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
class _Releasing:
    release: Release
    deadline: Deadline
    weight: int = 1


@dataclass(frozen=True)
class _Cell:
    """Where a release says that its hold is: the place of an instant, as far as its cell depends on it."""

    site: str
    slot: datetime
    resources: tuple[str, ...] = DEFAULT_RESOURCES
    durationMinutes: int | None = None


@dataclass(frozen=True)
class Held:
    """A hold that stands: `seconds` from now until `expires_at`."""

    token: str
    span: Span
    expires_at: datetime
    seconds: int


class HoldService:
    """Places holds in Redis, on slots that MongoDB says are not booked.

    `asked_at` is when the caller of a command asked (Unix ms), the same in all of its attempts; else now.
    """

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

    async def place_hold(
        self, command: PlaceHold, deadline: Deadline, *, asked_at: int | None = None
    ) -> Held:
        """Hold a slot of all the resources that are asked for, or extend the hold with the command's token.

        Raises:
            SlotAlreadyBooked, SlotHeld, InvalidRequest, BeingBooked, AskedEarlier, NotExecuted,
            OutcomeUnknown
        """
        self._schema.require()
        span = self._grid.span_of(command)
        holder = Holder(command.holdToken or str(uuid4()), self._digests.of_name(command.patientName))
        asked_at = unix_ms_now() if asked_at is None else asked_at
        request = Request(Wanted(Claims.of(command, span), holder, asked_at), deadline)
        request = replace(request, placed=await self._places.submit(request))
        granted = await self._decisions.submit(request)
        return Held(holder.token, span, granted.expires_at, granted.milliseconds // 1000)

    async def release_hold(
        self, command: ReleaseHold, deadline: Deadline, *, asked_at: int | None = None
    ) -> None:
        """Release all that the command's token holds in its site, if it holds the command's slot (if any).

        Raises:
            NoSuchHold, AskedEarlier, NotExecuted, OutcomeUnknown
        """
        asked_at = unix_ms_now() if asked_at is None else asked_at
        release = Release(command.site, command.holdToken, asked_at, self._cell_of(command))
        if not await self._releases.submit(_Releasing(release, deadline)):
            raise NoSuchHold

    def _cell_of(self, command: ReleaseHold) -> str | None:
        if command.slot is None:
            return None
        place = _Cell(command.site, command.slot)
        first, *_ = Claims.of(place, self._grid.span_of(place)).keys
        return first.rpartition("/")[2]

    async def _release_many(self, many: Sequence[_Releasing], deadline: Deadline) -> list[bool | Refused]:
        return await self._holds.release_many([each.release for each in many], deadline)

    async def _place_many(
        self, requests: Sequence[Request], deadline: Deadline
    ) -> Sequence[Placed | Refused | None]:
        return await self._holds.place_many([each.wanted for each in requests], deadline)

    async def _decide_many(self, requests: Sequence[Request], deadline: Deadline) -> list[Granted | Refused]:
        """Grant what is placed and free; withdraw the rest, but nothing that was granted before."""
        claims = {claim for each in requests for claim in each.wanted.claims.in_site}
        outcomes: dict[Request, Granted | Refused] = {}
        try:
            found = await self._bookings.find(claims=claims, timeout=deadline.remaining)
            deadline.check()  # nothing is granted after it
            self._schema.require()  # nor by a worker that slept, and may not know of another grid
        except (NotExecuted, OutcomeUnknown) as error:
            if isinstance(error, NoPrimary | OutcomeUnknown):
                self._schema.suspect(error)
            not_done = error if isinstance(error, NotExecuted) else NotExecuted()
            outcomes |= dict.fromkeys(requests, not_done)
        else:
            outcomes |= {each: refusal for each in requests if (refusal := _refusal(each, found))}
            free = [each for each in requests if each not in outcomes]
            granted = await self._holds.grant_many([(r.wanted, r.placed) for r in free if r.placed])
            outcomes |= zip(free, granted, strict=True)
        refused = [each for each, outcome in outcomes.items() if isinstance(outcome, Refused)]
        await self._withdraw([each for each in refused if not isinstance(outcomes[each], OutcomeUnknown)])
        return [outcomes[each] for each in requests]

    async def _withdraw(self, requests: Sequence[Request]) -> None:
        """Take back what was placed for requests that are refused, so that it blocks nobody."""
        await self._holds.withdraw_many([(r.wanted, r.placed) for r in requests if r.placed])


def _refusal(request: Request, found: Found) -> Refused | None:
    """Why a hold is not granted; None if it is to be."""
    if request.wanted.claims.in_site & found.booked:
        return SlotAlreadyBooked()
    if request.placed is None:
        return SlotHeld()
    return BeingBooked() if request.placed.being_booked else None
