"""What a move comes to, once its booking is read: a plan to change it, or why it is refused."""

from dataclasses import dataclass

from shared.contract.commands import MoveRequest
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    AppointmentCancelled,
    AskedEarlier,
    InvalidRequest,
    KeyReused,
    NoSuchAppointment,
    PreconditionFailed,
    Refused,
)
from shared.domain.booking import Booking
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.done_move import DoneMove
from shared.domain.grid import Grid
from shared.domain.move import moved
from shared.stores.mongo.writes import CompareAndSet
from shared.stores.redis.intents import BookingIntent
from shared.stores.redis.keys import Holder


@dataclass(frozen=True, eq=False)
class Move:
    """A command to move the booking with this id, if it has the version `if_version` (None: any).

    `mark` is what its booking remembers of it once it is done.
    """

    id: str
    request: MoveRequest
    mark: DoneMove
    deadline: Deadline
    if_version: int | None = None
    weight: int = 1

    @property
    def move_id(self) -> str:
        return self.mark.id

    @property
    def asked_at(self) -> int:
        return self.mark.asked_at


@dataclass(frozen=True, eq=False)
class MovePlan:
    """A move of a booking as it was read. A booking that is judged anew gets another plan and intent."""

    move: Move
    change: CompareAndSet
    intent: BookingIntent

    @property
    def id(self) -> str:
        return self.change.before.id

    @property
    def claims(self) -> Claims:
        return self.change.after.claims

    @property
    def is_repeat(self) -> bool:
        """Whether the move was carried out before: nothing is left to write."""
        return self.change.after is self.change.before

    @property
    def stays(self) -> bool:
        """Whether the booking lies already where the move leads: only the move is remembered."""
        return self.change.after.version == self.change.before.version

    def is_of(self, row: Booking) -> bool:
        """Whether the booking still stands as it was read."""
        before = self.change.before
        return (row.status, row.version, row.epoch) == (before.status, before.version, before.epoch)

    def uses_up(self, booking: Booking) -> BookingIntent:
        """What clears the holds of the patient where the booking lies now."""
        return BookingIntent(booking.claims, self.intent.holder)


def plan(move: Move, booking: Booking | None, grid: Grid, digests: Digests) -> MovePlan | Refused:
    """What is to be done for a move of a booking, None where there is none."""
    if booking is None:
        return NoSuchAppointment()
    if booking.done_move(move.move_id):
        after = booking
    elif booking.refuses(move.move_id, move.asked_at):
        return AskedEarlier()
    elif booking.status == "cancelled":
        return AppointmentCancelled(appointment=booking.to_appointment())
    elif move.if_version not in (None, booking.version):
        return PreconditionFailed()
    else:
        try:
            after = moved(booking, move.request, move.mark, grid)
        except InvalidRequest as invalid:
            return invalid
    holder = Holder(move.request.holdToken or "", digests.of_name(booking.patient_name))
    return MovePlan(move, CompareAndSet(booking, after), BookingIntent(after.claims, holder))


def repeat(move: Move, booking: Booking) -> Booking | Refused | None:
    """The answer to a move that the booking remembers: as that stands now. None if it does not know it."""
    done = booking.done_move(move.move_id)
    if done is None:
        return None
    if done.request_hash != move.mark.request_hash:
        return KeyReused()
    if booking.status == "cancelled":
        return AppointmentCancelled(appointment=booking.to_appointment())
    return booking
