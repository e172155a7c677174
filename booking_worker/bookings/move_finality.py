"""Final refusals of moves: after a 409 no earlier attempt of the same move moves the booking.

Before the 409 the booking enters a new epoch. An earlier attempt compares the row with what it has read, so
one that MongoDB carries out after that does not match. One that reads the row after that finds that its move
is refused.
"""

from collections.abc import Mapping

from booking_worker.bookings.move_plan import MovePlan
from booking_worker.bookings.outcomes import ChangeOutcome
from shared.contract.deadline import Deadline
from shared.contract.errors import NotExecuted, OutcomeUnknown, SlotAlreadyBooked, SlotHeld
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites, CompareAndSet


class MoveRefusals:
    """Fences the bookings of a batch together."""

    def __init__(self, bookings: BookingStore, writes: BookingWrites) -> None:
        self._bookings = bookings
        self._writes = writes

    async def make_final(
        self, judged: Mapping[MovePlan, ChangeOutcome], deadline: Deadline
    ) -> dict[MovePlan, ChangeOutcome]:
        """The outcomes of moves, once no earlier attempt can carry out what is refused.

        Unknown if a booking could not be fenced in time: then the refusal would not be final.
        """
        outcomes = dict(judged)
        refused = [plan for plan, o in judged.items() if isinstance(o, SlotAlreadyBooked | SlotHeld)]
        written = await self._writes.guarded(
            self._writes.advance_epochs, [_advance_epoch(plan) for plan in refused], deadline
        )
        advanced = dict(zip(refused, written, strict=True))
        unsure = [plan for plan, each in advanced.items() if each is WriteResult.UNSURE]
        lost = [plan for plan, each in advanced.items() if each not in (WriteResult.DONE, WriteResult.UNSURE)]
        outcomes |= dict.fromkeys(lost, OutcomeUnknown())
        try:
            found = await self._bookings.find(ids={plan.id for plan in unsure}, timeout=deadline.remaining)
        except (NotExecuted, OutcomeUnknown):
            return outcomes | dict.fromkeys(unsure, OutcomeUnknown())
        for plan in unsure:
            row, move = found.by_id.get(plan.id), plan.move
            as_read = row is not None and row.version == plan.change.before.version
            if row is None or not as_read or not row.refuses(move.move_id, move.asked_at):
                outcomes[plan] = None
        return outcomes


def _advance_epoch(plan: MovePlan) -> CompareAndSet:
    before = plan.change.before
    return CompareAndSet(before, before.refusing(plan.move.move_id, plan.move.asked_at))
