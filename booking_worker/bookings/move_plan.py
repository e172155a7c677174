"""Plan a move from the row of its booking, or refuse it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from shared.contract.caller import ANYONE, Caller
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
    SlotNotOffered,
    TooLateToChange,
)
from shared.domain.booking import Booking
from shared.domain.claim import Claims
from shared.domain.digests import Digests
from shared.domain.done_move import DoneMove
from shared.domain.grid import Grid
from shared.domain.move import moved
from shared.domain.schedule.site import NO_SCHEDULES, SiteSchedules
from shared.stores.mongo.writes import CompareAndSet
from shared.stores.redis.intents import BookingIntent
from shared.stores.redis.keys import Holder
from shared.stores.redis.quotas import quota_of_bookings


@dataclass(frozen=True, eq=False)
class PendingMove:
    """A command to move the booking `id` if it has the version `if_version` (None: any).

    `mark`: the record of the move that the booking keeps once the move is done.
    """

    id: str
    command: MoveRequest
    mark: DoneMove
    deadline: Deadline
    if_version: int | None = None
    caller: Caller = ANYONE
    weight: int = 1

    @property
    def move_id(self) -> str:
        return self.mark.id

    @property
    def asked_at(self) -> int:
        return self.mark.asked_at


@dataclass(frozen=True, eq=False)
class MovePlan:
    """A move and the compare-and-set that carries it out on the row as it was read.

    If another write changes the row first, the move gets a new plan with a new intent. `not_offered`: the
    refusal of an enforced schedule, which counts unless the patient holds all claims of the target.
    `invalid`: why the booking cannot get the service, or why its patient may not move it any more. Such a
    plan changes nothing.
    """

    move: PendingMove
    change: CompareAndSet
    intent: BookingIntent
    not_offered: SlotNotOffered | None = None
    invalid: InvalidRequest | TooLateToChange | None = None

    @property
    def id(self) -> str:
        return self.change.before.id

    @property
    def claims(self) -> Claims:
        return self.change.after.claims

    @property
    def is_replay(self) -> bool:
        """Whether the booking has the mark of this move already: nothing is left to write."""
        return self.change.after is self.change.before

    @property
    def stays(self) -> bool:
        """Whether the booking is at the target already: only the mark of the move is written."""
        return self.change.after.version == self.change.before.version

    def matches(self, row: Booking) -> bool:
        """Return whether the row still has the status, version and epoch that the plan was made from."""
        before = self.change.before
        return (row.status, row.version, row.epoch) == (before.status, before.version, before.epoch)

    def intent_at(self, booking: Booking) -> BookingIntent:
        """Return an intent of this move's patient on the claims of `booking`, to use up the holds there."""
        return BookingIntent(booking.claims, self.intent.holder)


def plan_move(
    move: PendingMove,
    booking: Booking | None,
    grid: Grid,
    digests: Digests,
    schedules: Mapping[str, SiteSchedules],
) -> MovePlan | Refused:
    """Plan a move of `booking`, or return its refusal; None is a booking that does not exist.

    A booking in a site that the caller may not use counts as one that does not exist. `schedules` are those
    of sites, for the service of the move.
    """
    invalid = None
    if booking is None or not move.caller.may_use(booking.site):
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
            of_site = schedules.get(booking.site, NO_SCHEDULES)
            after = moved(booking, move.command, move.mark, grid, of_site, actor=move.caller.actor)
        except InvalidRequest as refusal:
            if move.command.service is None:
                return refusal
            after, invalid = booking, refusal
    # An erased booking has no name to find its patient's holds by: their token does.
    digest = digests.of_name(booking.patient_name) if booking.patient_name else ""
    holder = Holder(move.command.holdToken or "", digest)
    # A move counts the cells that it adds, so that short bookings are no way around the caps of long ones.
    # Its count names the booking: otherwise a second booking that is moved to the same cells with the same id
    # would pass for an attempt of the first move, which is counted already.
    added, key = len(after.claims.keys) - len(booking.claims.keys), f"{booking.id}/{move.move_id}"
    quota = quota_of_bookings(move.caller.shares, added, partial(digests.of_key, key, after.claims))
    intent = BookingIntent(after.claims, holder, quota)
    return MovePlan(move, CompareAndSet(booking, after), intent, invalid=invalid)


def replay_move(move: PendingMove, booking: Booking) -> Booking | Refused | None:
    """Answer a move that was done before, by the booking's current state; None if it was not done."""
    done = booking.done_move(move.move_id)
    if done is None:
        return None
    if done.request_hash != move.mark.request_hash:
        return KeyReused()
    if booking.status == "cancelled":
        return AppointmentCancelled(appointment=booking.to_appointment())
    return booking
