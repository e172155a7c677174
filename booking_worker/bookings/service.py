"""The use cases that change bookings: book, cancel, move and amend. Independent of the transport."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import NoReturn, TypeVar

from booking_worker.bookings.amend import Amender, AmendRequest
from booking_worker.bookings.book import Booker
from booking_worker.bookings.cancel import Canceller, CancelRequest
from booking_worker.bookings.move import Mover
from booking_worker.bookings.move_plan import PendingMove
from booking_worker.bookings.requests import Booked, BookRequest
from shared.contract.asked_at import unix_ms_now
from shared.contract.caller import Scope
from shared.contract.commands import (
    AmendAppointment,
    BookAppointment,
    CancelAppointment,
    CommandT,
    MoveAppointment,
)
from shared.contract.errors import Changing, Forbidden, InvalidRequest, NoSuchAppointment, Refused
from shared.contract.fields import is_uuid, random_uuid
from shared.domain.booking import Booking
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.done_move import DoneMove
from shared.domain.grid import Grid, Place
from shared.domain.schedule.services import with_service
from shared.domain.schedule.site import NO_SCHEDULES, SiteSchedules
from shared.stores.mongo.schedule_cache import ScheduleCache
from shared.stores.mongo.schema import Schema
from shared.stores.redis.intents import BookingIntent
from shared.stores.redis.keys import Holder
from shared.stores.redis.quotas import quota_of_bookings
from shared.worker.attempts import Attempt
from shared.worker.batcher import Batcher, Due

# Of concurrent commands that change the same booking, each round decides one.
MOST_ROUNDS_ALONE = 128
MOST_ROUNDS_TOGETHER = 2
"""Rounds of commands that share a reply message: a contested command may delay the rest by one round only."""

ItemT = TypeVar("ItemT", bound=Due)
ResultT = TypeVar("ResultT")


class BookingService:
    """Decides attempts in batches, together with those of other messages.

    Every use case returns one outcome or refusal per attempt, in order.
    """

    def __init__(
        self,
        booker: Booker,
        canceller: Canceller,
        mover: Mover,
        amender: Amender,
        *,
        schema: Schema,
        schedules: ScheduleCache,
        grid: Grid,
        digests: Digests,
    ) -> None:
        self._schedules = schedules
        self._schema = schema
        self._grid = grid
        self._digests = digests
        self._bookings = Batcher(booker.commit, "book")
        self._cancels = Batcher(canceller.commit, "cancel")
        self._moves = Batcher(mover.commit, "move")
        self._amendments = Batcher(amender.commit, "amend")

    async def book(self, attempts: Sequence[Attempt[BookAppointment]]) -> list[Booked | Exception]:
        """Book a slot with all the requested resources.

        Refusals: SlotAlreadyBooked, SlotHeld, SlotNotOffered, AppointmentCancelled, KeyReused,
        TooManyBookings, InvalidRequest, NotExecuted, OutcomeUnknown.
        """
        sites = {attempt.command.site for attempt in attempts}
        served = {a.command.site for a in attempts if a.command.service is not None}
        seconds = max(attempt.deadline.remaining for attempt in attempts)
        schedules = await self._schedules.of_commands(sites, served, timeout=seconds)
        prepare = partial(self._book_request, schedules)
        return await self._retry_until_decided(attempts, prepare, self._bookings.submit)

    async def cancel(self, attempts: Sequence[Attempt[CancelAppointment]]) -> list[Booking | Exception]:
        """Cancel a booking and free its claims in the same write. A second cancel changes nothing.

        Refusals: NoSuchAppointment, TooLateToChange, PreconditionFailed, NotExecuted, OutcomeUnknown.
        """
        return await self._retry_until_decided(attempts, _cancel_request, self._cancels.submit)

    async def move(self, attempts: Sequence[Attempt[MoveAppointment]]) -> list[Booking | Exception]:
        """Move a booking in one write. A refused move leaves it unchanged.

        Refusals: NoSuchAppointment, SlotAlreadyBooked, SlotHeld, SlotNotOffered, AppointmentCancelled,
        TooLateToChange, PreconditionFailed, KeyReused, TooManyBookings, InvalidRequest, NotExecuted,
        OutcomeUnknown.
        """
        return await self._retry_until_decided(attempts, self._pending_move, self._moves.submit)

    async def amend(self, attempts: Sequence[Attempt[AmendAppointment]]) -> list[Booking | Exception]:
        """Correct the name of a booking's patient, or note the attendance. The booking keeps its place.

        Refusals: Forbidden, NoSuchAppointment, AppointmentCancelled, NameErased, PreconditionFailed,
        NotExecuted, OutcomeUnknown.
        """
        return await self._retry_until_decided(attempts, self._amend_request, self._amendments.submit)

    def _book_request(
        self, by_site: Mapping[str, SiteSchedules], attempt: Attempt[BookAppointment]
    ) -> BookRequest:
        command, schedules = attempt.command, by_site.get(attempt.command.site, NO_SCHEDULES)
        place: Place = command
        service = None
        try:
            if command.service is not None:
                place, service = with_service(command, command.service, schedules.by_resource)
            slot_range = self._grid.slot_range(place, service)
            claims = Claims.of(place, slot_range)
        except InvalidRequest as invalid:
            if command.service is None:
                raise
            return self._invalid_request(attempt, invalid)
        make = partial(
            Booking.new,
            command,
            slot_range,
            claims,
            self._digests,
            attempt.caller.actor,
            resources=place.resources,
        )
        holder = Holder(command.holdToken or "", self._digests.of_name(command.patientName))
        key, asked_at = command.idempotencyKey, attempt.asked_at
        name = partial(self._digests.of_key, key or random_uuid(), claims)
        intent = BookingIntent(
            claims, holder, quota_of_bookings(attempt.caller.shares, len(claims.keys), name)
        )
        is_first_attempt = key is None or attempt.is_first_attempt
        return BookRequest(
            claims,
            key,
            make,
            is_first_attempt,
            intent,
            attempt.deadline,
            asked_at,
            partial(self._digests.of_request, command),
            schedules.refusal(place.resources, slot_range, unix_ms_now()),
        )

    def _invalid_request(self, attempt: Attempt[BookAppointment], invalid: InvalidRequest) -> BookRequest:
        """Return the request of a service that cannot be booked. An earlier attempt may have booked it.

        Raises:
            InvalidRequest: there was no earlier attempt.
        """
        command, claims = attempt.command, Claims(attempt.command.site, ())
        if command.idempotencyKey is None or attempt.is_first_attempt:
            raise invalid
        return BookRequest(
            claims,
            command.idempotencyKey,
            partial(_refuse, invalid),
            False,
            BookingIntent(claims, Holder("", "")),
            attempt.deadline,
            attempt.asked_at,
            partial(self._digests.of_request, command),
            invalid=invalid,
        )

    def _pending_move(self, attempt: Attempt[MoveAppointment]) -> PendingMove:
        command = attempt.command
        mark = DoneMove(command.moveId or random_uuid(), self._digests.of_move(command), attempt.asked_at)
        return PendingMove(
            valid_id(command.id), command, mark, attempt.deadline, command.ifVersion, attempt.caller
        )

    def _amend_request(self, attempt: Attempt[AmendAppointment]) -> AmendRequest:
        command, caller = attempt.command, attempt.caller
        if caller.is_patient:
            raise Forbidden("A patient's link changes neither the name nor the attendance")
        if command.patientName is not None and not caller.names:
            raise Forbidden(f"The key does not have the scope {Scope.NAMES}")
        mark = self._digests.of_amendment(command)
        return AmendRequest(valid_id(command.id), command, mark, attempt.deadline, command.ifVersion, caller)

    async def _retry_until_decided(
        self,
        attempts: Sequence[Attempt[CommandT]],
        prepare: Callable[[Attempt[CommandT]], ItemT],
        submit: Callable[[Sequence[ItemT]], Awaitable[Sequence[ResultT | Exception | None]]],
    ) -> list[ResultT | Exception]:
        """Submit attempts round after round, until every attempt has an outcome.

        Args:
            attempts: the attempts of one message.
            prepare: makes the item to submit, or raises the attempt's refusal.
            submit: joins items to the next batch. Its result None means: nothing was done, submit again.

        Returns:
            One outcome or refusal per attempt, in order; Changing if other commands changed the same booking
            in every round.
        """
        self._schema.require()
        outcomes: dict[int, ResultT | Exception] = {}
        left: dict[int, ItemT] = {}
        for number, attempt in enumerate(attempts):
            try:
                left[number] = prepare(attempt)
            except Refused as refused:
                outcomes[number] = refused
        is_alone = len(attempts) == 1 and attempts[0].alone
        for _ in range(MOST_ROUNDS_ALONE if is_alone else MOST_ROUNDS_TOGETHER):
            results = await submit(list(left.values()))
            decided = {n: result for n, result in zip(left, results, strict=True) if result is not None}
            outcomes |= decided
            left = {number: item for number, item in left.items() if number not in decided}
            if not left:
                break
        outcomes |= dict.fromkeys(left, Changing())
        self._schema.suspect_of(outcomes.values())
        return [outcomes[number] for number in range(len(attempts))]


def _refuse(refusal: Refused) -> NoReturn:
    raise refusal


def valid_id(id: str) -> str:
    """Return an id as rows spell it, in lower case.

    Raises:
        NoSuchAppointment: the id is no UUID, so no booking has it.
    """
    if not is_uuid(id):
        raise NoSuchAppointment
    return id.lower()


def _cancel_request(attempt: Attempt[CancelAppointment]) -> CancelRequest:
    command = attempt.command
    return CancelRequest(
        valid_id(command.id), attempt.deadline, command.ifVersion, attempt.caller, attempt.asked_at
    )
