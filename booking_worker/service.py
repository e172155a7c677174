"""Use cases of bookings that change something: book, cancel and move. Knows no transport."""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import uuid4

from booking_worker.cancels import Cancel, Cancels
from booking_worker.decisions import Decisions
from booking_worker.moves import Moves
from booking_worker.plans import Move
from booking_worker.requests import Booked, Request
from shared.contract.commands import BookAppointment, CancelAppointment, MoveAppointment
from shared.contract.deadline import Deadline
from shared.contract.errors import Changing, NoSuchAppointment
from shared.contract.fields import is_uuid
from shared.domain.booking import Booking
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.stores.mongo.schema import Schema
from shared.stores.redis.intents import BookingIntent
from shared.stores.redis.keys import Holder
from shared.worker.batcher import Batcher

# As many as one batch may have for one booking: each round carries out one of them.
MOST_JUDGEMENTS = 128

OutcomeT = TypeVar("OutcomeT")


class BookingService:
    """Decides each command together with all that wait for the same.

    `first` says of a command that no earlier attempt of it was ever sent.
    """

    def __init__(
        self,
        decisions: Decisions,
        cancels: Cancels,
        moves: Moves,
        *,
        schema: Schema,
        grid: Grid,
        digests: Digests,
    ) -> None:
        self._schema = schema
        self._grid = grid
        self._digests = digests
        self._bookings = Batcher(decisions.decide, "book")
        self._cancels = Batcher(cancels.decide, "cancel")
        self._moves = Batcher(moves.decide, "move")

    async def book(self, command: BookAppointment, deadline: Deadline, *, first: bool = False) -> Booked:
        """Book a slot of all the resources that are asked for.

        Raises:
            SlotAlreadyBooked, SlotHeld, KeyReused, InvalidRequest, NotExecuted, OutcomeUnknown
        """
        with self._schema.required():
            booking = Booking.new(command, self._grid.span_of(command), self._digests)
            holder = Holder(command.holdToken or "", self._digests.of_name(command.patientName))
            intent = BookingIntent(booking.id, booking.claims, holder)
            may_have_been_sent = command.idempotencyKey is not None and not first
            return await self._bookings.submit(Request(booking, may_have_been_sent, intent, deadline))

    async def cancel(self, command: CancelAppointment, deadline: Deadline) -> Booking:
        """Cancel a booking, which frees all of its claims at once; one that is cancelled stays so.

        Raises:
            NoSuchAppointment, NotExecuted, OutcomeUnknown
        """
        with self._schema.required():
            cancel = Cancel(valid_id(command.id), deadline)
            return await _settle(lambda: self._cancels.submit(cancel))

    async def move(self, command: MoveAppointment, deadline: Deadline, *, first: bool = False) -> Booking:
        """Move a booking, in one write: where it cannot lie, it stays where it was.

        Raises:
            NoSuchAppointment, SlotAlreadyBooked, SlotHeld, AppointmentCancelled, InvalidRequest, NotExecuted,
            OutcomeUnknown
        """
        with self._schema.required():
            move_id = command.moveId or str(uuid4())
            move = Move(valid_id(command.id), command, move_id, first, deadline)
            return await _settle(lambda: self._moves.submit(move))


def valid_id(id: str) -> str:
    """The spelling of an id that rows have.

    Raises:
        NoSuchAppointment: it is nobody's.
    """
    if not is_uuid(id):
        raise NoSuchAppointment
    return id.lower()


async def _settle(judge: Callable[[], Awaitable[OutcomeT | None]]) -> OutcomeT:
    """Have a command judged until there is an outcome: of none nothing was done.

    Raises:
        Changing: what it is about changes all the time.
    """
    for _ in range(MOST_JUDGEMENTS):
        if (outcome := await judge()) is not None:
            return outcome
    raise Changing
