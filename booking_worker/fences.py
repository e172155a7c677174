"""Refusals of moves that are final: an earlier attempt does not move the booking once 409 was told.

Before that the booking's fence is counted up. An earlier attempt compares the row with what it had read, so
one that MongoDB carries out after that does not match.
"""

from collections.abc import Mapping

from booking_worker.plans import Plan
from booking_worker.writes import ChangeOutcome, Writes
from shared.contract.deadline import Deadline
from shared.contract.errors import Conflict, NotExecuted, OutcomeUnknown
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.writes import Written


class Fences:
    """Fences the bookings of a batch together."""

    def __init__(self, bookings: BookingStore, writes: Writes) -> None:
        self._bookings = bookings
        self._writes = writes

    async def make_final(
        self, judged: Mapping[Plan, ChangeOutcome], deadline: Deadline
    ) -> dict[Plan, ChangeOutcome]:
        """The outcomes of moves, once no earlier attempt can carry out what is refused.

        Unknown where a booking could not be fenced in time: then it is not final.
        """
        outcomes = dict(judged)
        refused = [p for p, o in judged.items() if isinstance(o, Conflict) and not p.move.first]
        written = await self._writes.fence([plan.change.before for plan in refused], deadline)
        fenced = dict(zip(refused, written, strict=True))
        unsure = [plan for plan, each in fenced.items() if each is Written.UNSURE]
        lost = [plan for plan, each in fenced.items() if each not in (Written.DONE, Written.UNSURE)]
        outcomes |= dict.fromkeys(lost, OutcomeUnknown())
        try:
            found = await self._bookings.find(ids={plan.id for plan in unsure}, timeout=deadline.remaining)
        except (NotExecuted, OutcomeUnknown):
            return outcomes | dict.fromkeys(unsure, OutcomeUnknown())
        for plan in unsure:
            row, before = found.by_id.get(plan.id), plan.change.before
            if row is None or row.version != before.version or row.fence == before.fence:
                outcomes[plan] = None
        return outcomes
