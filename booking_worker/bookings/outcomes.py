"""Outcomes of writes, as refusals and as results of a change."""

from shared.contract.errors import Changing, NoPrimary, NotExecuted, OutcomeUnknown, Refused
from shared.domain.booking import Booking
from shared.stores.mongo.bulk import WriteResult

# What was in the way, and is gone when it is looked for, was cancelled, or known to a deposed primary alone.
MOST_ROUNDS = 3

ChangeOutcome = Booking | Refused | None
"""Of a cancel or a move: the booking as it stands; None where it has changed, and is to be judged anew."""


def refusal_of(written: WriteResult) -> Refused:
    """What is known of a write that is not done; a duplicate is nothing but a reason to look."""
    match written:
        case WriteResult.NO_PRIMARY:
            return NoPrimary()
        case WriteResult.NOT_EXECUTED:
            return NotExecuted()
        case WriteResult.DUPLICATE:
            return Changing()
        case _:
            return OutcomeUnknown()
