"""Outcomes of writes: as refusals, and as results of changes."""

from shared.contract.errors import (
    Changing,
    NoPrimary,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    SlotHeld,
    TooManyBookings,
)
from shared.domain.booking import Booking
from shared.stores.mongo.bulk import WriteResult
from shared.stores.redis.intents import HoldState

# A write may fail on a row that is gone when it is read: cancelled since, or known only to a deposed primary.
MOST_ROUNDS_WITHOUT_PROGRESS = 3

REFUSALS: dict[HoldState, type[Refused]] = {HoldState.OTHERS: SlotHeld, HoldState.USED_UP: TooManyBookings}
"""The refusals of bookings and moves that have one of the states `BLOCKED`."""

ChangeOutcome = Booking | Refused | None
"""The outcome of a cancel or a move: the booking after it; None if the booking changed: decide again."""


def refusal_of(written: WriteResult) -> Refused:
    """Return the refusal for a write that was not done. A duplicate only means that the rows must be read."""
    match written:
        case WriteResult.NO_PRIMARY:
            return NoPrimary()
        case WriteResult.NOT_EXECUTED:
            return NotExecuted()
        case WriteResult.DUPLICATE:
            return Changing()
        case _:
            return OutcomeUnknown()
