"""Use cases of bookings that change something: book, cancel and move. Knows no transport."""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import uuid4

from booking_worker.cancels import Cancel, Cancels
from booking_worker.decisions import Decisions
from booking_worker.moves import Moves
from booking_worker.plans import Move
from booking_worker.requests import Booked, Request
from shared.contract.asked_at import unix_ms_now
from shared.contract.commands import BookAppointment, CancelAppointment, MoveAppointment
from shared.contract.deadline import Deadline
from shared.contract.errors import Changing, NoSuchAppointment
from shared.contract.fields import is_uuid
from shared.domain.booking import Booking
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.domain.moves import DoneMove
from shared.stores.mongo.schema import Schema
from shared.stores.redis.intents import BookingIntent
from shared.stores.redis.keys import Holder
from shared.worker.batcher import Batcher

# Each round decides one of the commands that change the same booking.
MOST_JUDGEMENTS = 128
MOST_JUDGEMENTS_TOGETHER = 2
"""Of a command whose answer travels with others: they wait for one round more, and not for its turn."""

OutcomeT = TypeVar("OutcomeT")


class BookingService:
    """Decides each command together with all that wait for the same.

    `first`: no earlier attempt of the command was ever sent. `asked_at` (Unix ms): when its caller asked
    (None: now). `alone`: no other command waits for its answer.
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

    async def book(
        self,
        command: BookAppointment,
        deadline: Deadline,
        *,
        first: bool = False,
        asked_at: int | None = None,
    ) -> Booked:
        """Book a slot of all the resources that are asked for.

        Raises:
            SlotAlreadyBooked, SlotHeld, AppointmentCancelled, KeyReused, InvalidRequest, NotExecuted,
            OutcomeUnknown
        """
        with self._schema.required():
            booking = Booking.new(command, self._grid.span_of(command), self._digests)
            holder = Holder(command.holdToken or "", self._digests.of_name(command.patientName))
            intent = BookingIntent(booking.claims, holder)
            may_have_been_sent = command.idempotencyKey is not None and not first
            asked_at = unix_ms_now() if asked_at is None else asked_at
            request = Request(booking, may_have_been_sent, intent, deadline, asked_at)
            return await self._bookings.submit(request)

    async def cancel(self, command: CancelAppointment, deadline: Deadline, *, alone: bool = True) -> Booking:
        """Cancel a booking, which frees all of its claims at once; one that is cancelled stays so.

        Raises:
            NoSuchAppointment, PreconditionFailed, NotExecuted, OutcomeUnknown
        """
        with self._schema.required():
            cancel = Cancel(valid_id(command.id), deadline, command.ifVersion)
            return await _settle(lambda: self._cancels.submit(cancel), alone=alone)

    async def move(
        self,
        command: MoveAppointment,
        deadline: Deadline,
        *,
        asked_at: int | None = None,
        alone: bool = True,
    ) -> Booking:
        """Move a booking, in one write: where it cannot lie, it stays where it was.

        Raises:
            NoSuchAppointment, SlotAlreadyBooked, SlotHeld, AppointmentCancelled, PreconditionFailed,
            KeyReused, InvalidRequest, NotExecuted, OutcomeUnknown
        """
        with self._schema.required():
            asked_at = unix_ms_now() if asked_at is None else asked_at
            mark = DoneMove(command.moveId or str(uuid4()), self._digests.of_move(command), asked_at)
            move = Move(valid_id(command.id), command, mark, deadline, command.ifVersion)
            return await _settle(lambda: self._moves.submit(move), alone=alone)


def valid_id(id: str) -> str:
    """The spelling of an id that rows have.

    Raises:
        NoSuchAppointment: it is nobody's.
    """
    if not is_uuid(id):
        raise NoSuchAppointment
    return id.lower()


async def _settle(judge: Callable[[], Awaitable[OutcomeT | None]], *, alone: bool) -> OutcomeT:
    """Have a command judged until there is an outcome: of none nothing was done.

    Raises:
        Changing: other commands change the same booking all the time.
    """
    for _ in range(MOST_JUDGEMENTS if alone else MOST_JUDGEMENTS_TOGETHER):
        if (outcome := await judge()) is not None:
            return outcome
    raise Changing
