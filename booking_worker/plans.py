"""What a move comes to, once its booking is read: a plan to change it, or why it is refused."""

from dataclasses import dataclass
from uuid import uuid4

from shared.contract.commands import MoveRequest
from shared.contract.deadline import Deadline
from shared.contract.errors import AppointmentCancelled, InvalidRequest, NoSuchAppointment, Refused
from shared.domain.booking import Booking
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.domain.move import moved
from shared.stores.mongo.changes import Change
from shared.stores.redis.intents import BookingIntent
from shared.stores.redis.keys import Holder


@dataclass(frozen=True, eq=False)
class Move:
    """A command to move the booking with this id; `first` if no earlier attempt of it can come late."""

    id: str
    request: MoveRequest
    move_id: str
    first: bool
    deadline: Deadline
    weight: int = 1


@dataclass(frozen=True, eq=False)
class Plan:
    """A move of a booking as it was read. Where that is judged anew, another plan has another intent."""

    move: Move
    change: Change
    intent: BookingIntent

    @property
    def id(self) -> str:
        return self.change.before.id

    @property
    def claims(self) -> Claims:
        return self.change.after.claims

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to change: it was carried out before, or lies there already."""
        return self.change.after is self.change.before

    def is_of(self, row: Booking) -> bool:
        """Whether the booking still stands as it was read."""
        before = self.change.before
        return (row.status, row.version, row.fence) == (before.status, before.version, before.fence)


def plan(move: Move, booking: Booking | None, grid: Grid, digests: Digests) -> Plan | Refused:
    """What is to be done for a move of a booking, None where there is none."""
    if booking is None:
        return NoSuchAppointment()
    if booking.was_moved_by(move.move_id):
        after = booking
    elif booking.status == "cancelled":
        return AppointmentCancelled()
    else:
        try:
            after = moved(booking, move.request, move.move_id, grid)
        except InvalidRequest as invalid:
            return invalid
    holder = Holder(move.request.holdToken or "", digests.of_name(booking.patient_name))
    return Plan(move, Change(booking, after), BookingIntent(str(uuid4()), after.claims, holder))
