"""Use cases of holds: place, extend and release. Knows no transport.

The hold is placed first and MongoDB read after it: a booking that was made before is then seen, and one
that comes later finds the hold. Read first, a booking made in between would be left with a hold. A hold that
meets the intent of a booking is refused, and the client repeats it. Then the hold is granted
(`shared/stores/redis/holds.py` says why). Each step is done for all holds together that are there.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from shared.contract.commands import DEFAULT_RESOURCES, PlaceHold, ReleaseHold
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    BeingBooked,
    HoldsUnreachable,
    NoPrimary,
    NoSuchHold,
    NotExecuted,
    NotReady,
    OutcomeUnknown,
    Refused,
    SlotAlreadyBooked,
    SlotHeld,
)
from shared.contract.fields import random_uuid
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.grid import Grid, SlotRange
from shared.stores.mongo.bookings import BookingStore, Found
from shared.stores.mongo.schema import Schema
from shared.stores.redis.holds import Granted, HoldRequest, HoldStore, Placed, Release
from shared.stores.redis.keys import Holder
from shared.stores.redis.watch import RedisWatch
from shared.worker.attempts import Attempt
from shared.worker.batcher import Batcher

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, eq=False)
class Request:
    """A command to hold, with what came of it so far: `placed` is None where another holds a claim."""

    command: PlaceHold
    slot_range: SlotRange
    wanted: HoldRequest
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
    """A hold that stands: `seconds` from now until `expires_at`; `extended` if it stood before."""

    command: PlaceHold
    token: str
    slot_range: SlotRange
    expires_at: datetime
    seconds: int
    extended: bool


class HoldService:
    """Places holds in Redis, on slots that MongoDB says are not booked.

    Each use case returns an outcome or a refusal for each attempt, in their order.
    """

    def __init__(
        self,
        bookings: BookingStore,
        holds: HoldStore,
        redis: RedisWatch,
        *,
        schema: Schema,
        grid: Grid,
        digests: Digests,
    ) -> None:
        self._bookings = bookings
        self._holds = holds
        self._redis = redis
        self._schema = schema
        self._grid = grid
        self._digests = digests
        self._places = Batcher(self._place_many, "place")
        self._decisions = Batcher(self._decide_many, "grant")
        self._releases = Batcher(self._release_many, "release")

    async def place(self, attempts: Sequence[Attempt[PlaceHold]]) -> list[Held | Exception]:
        """Hold a slot of all the resources that are asked for, or extend the hold with the command's token.

        Refusals: SlotAlreadyBooked, SlotHeld, InvalidRequest, BeingBooked, AskedEarlier, NotExecuted,
        OutcomeUnknown.
        """
        self._schema.require()
        outcomes: dict[int, Held | Exception] = {}
        requests: dict[int, Request] = {}
        for number, attempt in enumerate(attempts):
            try:
                requests[number] = self._request(attempt)
            except Refused as refused:
                outcomes[number] = refused
        placed = await self._places.submit(list(requests.values()))
        for (number, request), each in zip(list(requests.items()), placed, strict=True):
            if isinstance(each, Exception):
                outcomes[number] = each
                del requests[number]
            else:
                requests[number] = replace(request, placed=each)
        granted = await self._decisions.submit(list(requests.values()))
        for (number, request), one in zip(requests.items(), granted, strict=True):
            outcomes[number] = one if isinstance(one, Exception) else _held(request, one)
        return [outcomes[number] for number in range(len(attempts))]

    async def release(self, attempts: Sequence[Attempt[ReleaseHold]]) -> list[Exception | None]:
        """Release all that the command's token holds in its site, if it holds the command's slot (if any).

        Refusals: NoSuchHold, InvalidRequest, AskedEarlier, NotExecuted, OutcomeUnknown.
        """
        releases = []
        for each in attempts:
            command = each.command
            release = Release(command.site, command.holdToken, each.asked_at, self._cell_of(command))
            releases.append(_Releasing(release, each.deadline))
        released = await self._releases.submit(releases)
        return [each if isinstance(each, Exception) else None if each else NoSuchHold() for each in released]

    def _request(self, attempt: Attempt[PlaceHold]) -> Request:
        command, slot_range = attempt.command, self._grid.slot_range(attempt.command)
        holder = Holder(command.holdToken or random_uuid(), self._digests.of_name(command.patientName))
        wanted = HoldRequest(Claims.of(command, slot_range), holder, attempt.asked_at)
        return Request(command, slot_range, wanted, attempt.deadline)

    def _cell_of(self, command: ReleaseHold) -> str | None:
        if command.slot is None:
            return None
        place = _Cell(command.site, command.slot)
        first, *_ = Claims.of(place, self._grid.slot_range(place)).keys
        return first.rpartition("/")[2]

    async def _release_many(self, many: Sequence[_Releasing], deadline: Deadline) -> list[bool | Refused]:
        released = self._holds.release_many([each.release for each in many], deadline)
        return await self._judged(released)

    async def _place_many(
        self, requests: Sequence[Request], deadline: Deadline
    ) -> list[Placed | Refused | None]:
        placed = self._holds.place_many([each.wanted for each in requests], deadline)
        return await self._judged(placed)

    async def _judged(self, asked: Awaitable[Sequence[AnswerT | Refused]]) -> list[AnswerT | Refused]:
        """Wait for Redis to answer; if it failed, find out whether this worker has lost it.

        Then the worker has left its subjects, and NotReady sends the caller to a worker that may have Redis.
        """
        answers = await asked
        if not any(isinstance(each, HoldsUnreachable | OutcomeUnknown) for each in answers):
            return list(answers)
        if not await self._redis.is_lost():
            return list(answers)
        return [
            NotReady(HoldsUnreachable.message) if isinstance(each, HoldsUnreachable) else each
            for each in answers
        ]

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
            granted = self._holds.grant_many([(r.wanted, r.placed) for r in free if r.placed])
            outcomes |= zip(free, await self._judged(granted), strict=True)
        refused = [each for each, outcome in outcomes.items() if isinstance(outcome, Refused)]
        await self._withdraw([each for each in refused if not isinstance(outcomes[each], OutcomeUnknown)])
        return [outcomes[each] for each in requests]

    async def _withdraw(self, requests: Sequence[Request]) -> None:
        """Take back what was placed for requests that are refused, so that it blocks nobody."""
        await self._holds.withdraw_many([(r.wanted, r.placed) for r in requests if r.placed])


def _held(request: Request, granted: Granted) -> Held:
    token = request.wanted.holder.token
    return Held(
        request.command,
        token,
        request.slot_range,
        granted.expires_at,
        granted.milliseconds // 1000,
        granted.extended,
    )


def _refusal(request: Request, found: Found) -> Refused | None:
    """Why a hold is not granted; None if it is to be."""
    if request.wanted.claims.in_site & found.booked:
        return SlotAlreadyBooked()
    if request.placed is None:
        return SlotHeld()
    return BeingBooked() if request.placed.being_booked else None
