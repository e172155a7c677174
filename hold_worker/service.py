"""The use cases of holds: place, extend and release. Independent of the transport.

A hold is placed in Redis first, then MongoDB is read, then the hold is granted. So the read sees every
earlier booking, and every later booking sees the hold. If MongoDB were read first, a booking between the
read and the hold would leave a hold on a booked slot. A hold that meets the intent of a booking is refused,
and the client retries it. `shared/stores/redis/holds.py` explains the grant. Each step handles a batch of
holds in one round trip.
"""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from shared.contract.asked_at import unix_ms_now
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
    SlotNotOffered,
)
from shared.contract.fields import random_uuid
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.grid import Grid, Place, SlotRange
from shared.domain.schedule.services import with_service
from shared.domain.schedule.site import NO_SCHEDULES, SiteSchedules
from shared.stores.mongo.bookings import BookingStore, Found
from shared.stores.mongo.schedule_cache import ScheduleCache
from shared.stores.mongo.schema import Schema
from shared.stores.redis.holds import Granted, HoldRequest, HoldStore, Placed, Release
from shared.stores.redis.keys import Holder
from shared.stores.redis.watch import RedisWatch
from shared.worker.attempts import Attempt
from shared.worker.batcher import Batcher

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, eq=False)
class HoldAttempt:
    """An attempt to hold a slot, laid on the grid.

    `resources`: those of the command and of its service. `not_offered`: the refusal of an enforced schedule,
    which counts unless the token holds all claims already. `placed`: the hold as Redis placed it; None before
    that, or if another token holds one of its claims.
    """

    command: PlaceHold
    resources: tuple[str, ...]
    slot_range: SlotRange
    request: HoldRequest
    deadline: Deadline
    not_offered: SlotNotOffered | None = None
    placed: Placed | None = None

    @property
    def weight(self) -> int:
        return len(self.request.claims.keys)


@dataclass(frozen=True)
class Held:
    """A granted hold."""

    attempt: HoldAttempt
    granted: Granted

    @property
    def token(self) -> str:
        return self.attempt.request.holder.token

    @property
    def seconds(self) -> int:
        """Whole seconds until the hold ends, counted from the grant."""
        return self.granted.milliseconds // 1000


@dataclass(frozen=True)
class _ReleaseAttempt:
    release: Release
    deadline: Deadline
    weight: int = 1


@dataclass(frozen=True)
class _SlotOnly:
    """The place of a release: the slot alone chooses its cell, not the resources and the duration."""

    site: str
    slot: datetime
    resources: tuple[str, ...] = DEFAULT_RESOURCES
    durationMinutes: int | None = None


class HoldService:
    """Places holds in Redis on slots that are not booked in MongoDB.

    Every use case returns one outcome or refusal per attempt, in order.
    """

    def __init__(
        self,
        bookings: BookingStore,
        holds: HoldStore,
        redis: RedisWatch,
        *,
        schema: Schema,
        schedules: ScheduleCache,
        grid: Grid,
        digests: Digests,
    ) -> None:
        self._schedules = schedules
        self._bookings = bookings
        self._holds = holds
        self._redis = redis
        self._schema = schema
        self._grid = grid
        self._digests = digests
        self._places = Batcher(self._place_many, "place")
        self._grants = Batcher(self._grant_many, "grant")
        self._releases = Batcher(self._release_many, "release")

    async def place(self, attempts: Sequence[Attempt[PlaceHold]]) -> list[Held | Exception]:
        """Hold a slot with all the requested resources, or extend the hold of the command's token.

        Refusals: SlotAlreadyBooked, SlotHeld, SlotNotOffered, InvalidRequest, TooManyHolds, BeingBooked,
        AskedEarlier, NotExecuted, OutcomeUnknown.
        """
        self._schema.require()
        sites = {attempt.command.site for attempt in attempts}
        served = {a.command.site for a in attempts if a.command.service is not None}
        seconds = max(attempt.deadline.remaining for attempt in attempts)
        schedules = await self._schedules.of_commands(sites, served, timeout=seconds)
        outcomes: dict[int, Held | Exception] = {}
        left: dict[int, HoldAttempt] = {}
        for number, attempt in enumerate(attempts):
            try:
                left[number] = self._hold_attempt(schedules, attempt)
            except Refused as refused:
                outcomes[number] = refused
        for number, refusal in (await self._not_offered(left)).items():
            outcomes[number] = refusal
            del left[number]
        placed = await self._places.submit(list(left.values()))
        for (number, hold), place in zip(list(left.items()), placed, strict=True):
            if isinstance(place, Exception):
                outcomes[number] = place
                del left[number]
            else:
                left[number] = replace(hold, placed=place)
        granted = await self._grants.submit(list(left.values()))
        for (number, hold), grant in zip(left.items(), granted, strict=True):
            outcomes[number] = grant if isinstance(grant, Exception) else Held(hold, grant)
        return [outcomes[number] for number in range(len(attempts))]

    async def release(self, attempts: Sequence[Attempt[ReleaseHold]]) -> list[Exception | None]:
        """Release everything that the command's token holds in its site.

        If the command has a slot, the token must hold it at some resource.

        Refusals: NoSuchHold, InvalidRequest, AskedEarlier, NotExecuted, OutcomeUnknown.
        """
        releases = []
        for attempt in attempts:
            command = attempt.command
            release = Release(command.site, command.holdToken, attempt.asked_at, self._cell_of(command))
            releases.append(_ReleaseAttempt(release, attempt.deadline))
        released = await self._releases.submit(releases)
        return [done if isinstance(done, Exception) else None if done else NoSuchHold() for done in released]

    def _hold_attempt(self, by_site: Mapping[str, SiteSchedules], attempt: Attempt[PlaceHold]) -> HoldAttempt:
        command, schedules = attempt.command, by_site.get(attempt.command.site, NO_SCHEDULES)
        place: Place = command
        service = None
        if command.service is not None:
            place, service = with_service(command, command.service, schedules.by_resource)
        slot_range = self._grid.slot_range(place, service)
        not_offered = schedules.refusal(place.resources, slot_range, unix_ms_now())
        holder = Holder(command.holdToken or random_uuid(), self._digests.of_name(command.patientName))
        claims, shares = Claims.of(place, slot_range), attempt.caller.shares
        request = HoldRequest(claims, holder, attempt.asked_at, shares)
        return HoldAttempt(command, place.resources, slot_range, request, attempt.deadline, not_offered)

    async def _not_offered(self, holds: Mapping[int, HoldAttempt]) -> dict[int, SlotNotOffered]:
        """Return the refusals of slots that enforced schedules do not offer.

        A hold that was placed before its schedule was changed may be extended.
        """
        judged = {number: hold for number, hold in holds.items() if hold.not_offered}
        if not judged:
            return {}
        deadline = Deadline(max(hold.deadline.unix_ms for hold in judged.values()))
        held = await self._holds.hold_all([hold.request for hold in judged.values()], deadline)
        return {
            number: hold.not_offered
            for (number, hold), holds_all in zip(judged.items(), held, strict=True)
            if hold.not_offered and not holds_all
        }

    def _cell_of(self, command: ReleaseHold) -> str | None:
        """Return the cell (Unix ms) of the slot of a release, if it has a slot."""
        if command.slot is None:
            return None
        place = _SlotOnly(command.site, command.slot)
        first, *_ = Claims.of(place, self._grid.slot_range(place)).keys
        return first.rpartition("/")[2]

    async def _release_many(
        self, attempts: Sequence[_ReleaseAttempt], deadline: Deadline
    ) -> list[bool | Refused]:
        released = self._holds.release_many([attempt.release for attempt in attempts], deadline)
        return await self._check_redis(released)

    async def _place_many(
        self, holds: Sequence[HoldAttempt], deadline: Deadline
    ) -> list[Placed | Refused | None]:
        placed = self._holds.place_many([hold.request for hold in holds], deadline)
        return await self._check_redis(placed)

    async def _check_redis(self, call: Awaitable[Sequence[AnswerT | Refused]]) -> list[AnswerT | Refused]:
        """Await a call to Redis. If it failed, check whether this worker has lost Redis.

        If so, the worker has left its subjects. NotReady makes the client retry, at a worker that may have
        Redis.
        """
        answers = await call
        if not any(isinstance(answer, HoldsUnreachable | OutcomeUnknown) for answer in answers):
            return list(answers)
        if not await self._redis.is_lost():
            return list(answers)
        return [
            NotReady(HoldsUnreachable.message) if isinstance(answer, HoldsUnreachable) else answer
            for answer in answers
        ]

    async def _grant_many(self, holds: Sequence[HoldAttempt], deadline: Deadline) -> list[Granted | Refused]:
        """Grant the placed holds of free slots, and withdraw the rest. Holds granted earlier stay."""
        claims = {claim for hold in holds for claim in hold.request.claims.in_site}
        outcomes: dict[HoldAttempt, Granted | Refused] = {}
        try:
            found = await self._bookings.find(claims=claims, timeout=deadline.remaining)
            deadline.check()  # grant nothing after the deadline
            self._schema.require()  # a worker that was suspended may have missed a change of the grid
        except (NotExecuted, OutcomeUnknown) as error:
            if isinstance(error, NoPrimary | OutcomeUnknown):
                self._schema.suspect(error)
            not_done = error if isinstance(error, NotExecuted) else NotExecuted()
            outcomes |= dict.fromkeys(holds, not_done)
        else:
            outcomes |= {hold: refusal for hold in holds if (refusal := _refusal(hold, found))}
            free = [hold for hold in holds if hold not in outcomes]
            granted = self._holds.grant_many([(h.request, h.placed) for h in free if h.placed])
            outcomes |= zip(free, await self._check_redis(granted), strict=True)
        refused = [hold for hold, outcome in outcomes.items() if isinstance(outcome, Refused)]
        await self._withdraw([hold for hold in refused if not isinstance(outcomes[hold], OutcomeUnknown)])
        return [outcomes[hold] for hold in holds]

    async def _withdraw(self, holds: Sequence[HoldAttempt]) -> None:
        """Withdraw the placed holds of refused attempts, so that they block no other caller."""
        await self._holds.withdraw_many([(h.request, h.placed) for h in holds if h.placed])


def _refusal(hold: HoldAttempt, found: Found) -> Refused | None:
    """Return why a hold is refused, or None if it can be granted."""
    if hold.request.claims.in_site & found.booked:
        return SlotAlreadyBooked()
    if hold.placed is None:
        return SlotHeld()
    return BeingBooked() if hold.placed.being_booked else None
