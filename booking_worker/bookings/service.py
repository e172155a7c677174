"""Use cases of bookings that change something: book, cancel and move. Knows no transport."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from booking_worker.bookings.book import Booker
from booking_worker.bookings.cancel import Cancel, Canceller
from booking_worker.bookings.move import Mover
from booking_worker.bookings.move_plan import Move
from booking_worker.bookings.requests import Booked, Request
from shared.contract.commands import BookAppointment, CancelAppointment, CommandT, MoveAppointment
from shared.contract.errors import Changing, NoSuchAppointment, Refused
from shared.contract.fields import is_uuid, random_uuid
from shared.domain.booking import Booking
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.done_move import DoneMove
from shared.domain.grid import Grid
from shared.stores.mongo.schema import Schema
from shared.stores.redis.intents import BookingIntent
from shared.stores.redis.keys import Holder
from shared.worker.attempts import Attempt
from shared.worker.batcher import Batcher, Due

# Each round decides one of the commands that change the same booking.
MOST_JUDGEMENTS = 128
MOST_JUDGEMENTS_TOGETHER = 2
"""Of commands whose answers travel together: they wait for one round more, and not for every turn."""

ItemT = TypeVar("ItemT", bound=Due)
ResultT = TypeVar("ResultT")


class BookingService:
    """Decides attempts that came together, with all that wait for the same.

    Each use case returns an outcome or a refusal for each attempt, in their order.
    """

    def __init__(
        self,
        decisions: Booker,
        cancels: Canceller,
        moves: Mover,
        *,
        schema: Schema,
        grid: Grid,
        digests: Digests,
    ) -> None:
        self._schema = schema
        self._grid = grid
        self._digests = digests
        self._bookings = Batcher(decisions.commit, "book")
        self._cancels = Batcher(cancels.commit, "cancel")
        self._moves = Batcher(moves.commit, "move")

    async def book(self, attempts: Sequence[Attempt[BookAppointment]]) -> list[Booked | Exception]:
        """Book a slot of all the resources that are asked for.

        Refusals: SlotAlreadyBooked, SlotHeld, AppointmentCancelled, KeyReused, InvalidRequest, NotExecuted,
        OutcomeUnknown.
        """
        return await self._decide(attempts, self._request, self._bookings.submit)

    async def cancel(self, attempts: Sequence[Attempt[CancelAppointment]]) -> list[Booking | Exception]:
        """Cancel a booking, which frees all of its claims at once; one that is cancelled stays so.

        Refusals: NoSuchAppointment, PreconditionFailed, NotExecuted, OutcomeUnknown.
        """
        return await self._decide(attempts, _cancel, self._cancels.submit)

    async def move(self, attempts: Sequence[Attempt[MoveAppointment]]) -> list[Booking | Exception]:
        """Move a booking, in one write: where it cannot lie, it stays where it was.

        Refusals: NoSuchAppointment, SlotAlreadyBooked, SlotHeld, AppointmentCancelled, PreconditionFailed,
        KeyReused, InvalidRequest, NotExecuted, OutcomeUnknown.
        """
        return await self._decide(attempts, self._move, self._moves.submit)

    def _request(self, attempt: Attempt[BookAppointment]) -> Request:
        command, slot_range = attempt.command, self._grid.slot_range(attempt.command)
        claims = Claims.of(command, slot_range)
        make = partial(Booking.new, command, slot_range, claims, self._digests)
        holder = Holder(command.holdToken or "", self._digests.of_name(command.patientName))
        intent = BookingIntent(claims, holder)
        key, asked_at = command.idempotencyKey, attempt.asked_at
        is_first_attempt = key is None or attempt.is_first_attempt
        return Request(claims, key, make, is_first_attempt, intent, attempt.deadline, asked_at)

    def _move(self, attempt: Attempt[MoveAppointment]) -> Move:
        command = attempt.command
        mark = DoneMove(command.moveId or random_uuid(), self._digests.of_move(command), attempt.asked_at)
        return Move(valid_id(command.id), command, mark, attempt.deadline, command.ifVersion)

    async def _decide(
        self,
        attempts: Sequence[Attempt[CommandT]],
        prepare: Callable[[Attempt[CommandT]], ItemT],
        submit: Callable[[Sequence[ItemT]], Awaitable[Sequence[ResultT | Exception | None]]],
    ) -> list[ResultT | Exception]:
        """Have what is asked for judged until there is an outcome: of none nothing was done.

        Changing: other commands change the same booking all the time.
        """
        self._schema.require()
        outcomes: dict[int, ResultT | Exception] = {}
        left: dict[int, ItemT] = {}
        for number, attempt in enumerate(attempts):
            try:
                left[number] = prepare(attempt)
            except Refused as refused:
                outcomes[number] = refused
        for _ in range(
            MOST_JUDGEMENTS if len(attempts) == 1 and attempts[0].alone else MOST_JUDGEMENTS_TOGETHER
        ):
            judged = await submit(list(left.values()))
            settled = {n: each for n, each in zip(left, judged, strict=True) if each is not None}
            outcomes |= settled
            left = {number: item for number, item in left.items() if number not in settled}
            if not left:
                break
        outcomes |= dict.fromkeys(left, Changing())
        self._schema.suspect_of(outcomes.values())
        return [outcomes[number] for number in range(len(attempts))]


def valid_id(id: str) -> str:
    """The spelling of an id that rows have.

    Raises:
        NoSuchAppointment: it is nobody's.
    """
    if not is_uuid(id):
        raise NoSuchAppointment
    return id.lower()


def _cancel(attempt: Attempt[CancelAppointment]) -> Cancel:
    command = attempt.command
    return Cancel(valid_id(command.id), attempt.deadline, command.ifVersion)
