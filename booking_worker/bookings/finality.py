"""Final refusals: after a 409, no earlier attempt of the same request takes effect.

A booking: before the 409, a tombstone reserves the idempotency key of the request. A later insert with that
key fails on the unique index of keys. If an earlier attempt has booked, its booking is the answer.

A move: before the 409, the booking enters a new epoch. An earlier attempt that has read the row fails its
compare-and-set. An earlier attempt that reads the row later finds its move refused there.
"""

from collections.abc import Mapping, Sequence

from booking_worker.bookings.move_plan import MovePlan
from booking_worker.bookings.outcomes import MOST_ROUNDS_WITHOUT_PROGRESS, ChangeOutcome
from booking_worker.bookings.requests import BookOutcome, BookRequest, replay
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    AskedEarlier,
    InvalidRequest,
    NotExecuted,
    OutcomeUnknown,
    SlotAlreadyBooked,
    SlotHeld,
    SlotNotOffered,
    TooLateToChange,
)
from shared.stores.mongo.bookings import BookingStore, InSite
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites, CompareAndSet

FINAL = (SlotAlreadyBooked, SlotHeld, SlotNotOffered, TooLateToChange, InvalidRequest)
"""The refusals after which no earlier attempt may take effect.

InvalidRequest is the refusal of a service, which an earlier attempt may have found in the schedule.
"""


class KeyFinality:
    """Makes refusals of bookings final: writes the tombstones of a batch in one round trip."""

    def __init__(self, bookings: BookingStore, writes: BookingWrites) -> None:
        self._bookings = bookings
        self._writes = writes

    async def make_final(
        self, decided: Mapping[BookRequest, BookOutcome], deadline: Deadline
    ) -> dict[BookRequest, BookOutcome]:
        """Reserve the keys of refused requests that may have been sent before.

        Returns:
            The outcomes of `decided`. A refusal changes if the key has a booking (the replay), if a
            tombstone bars the request (AskedEarlier), or if its tombstone could not be written in time
            (OutcomeUnknown: the refusal would not be final).
        """
        outcomes = dict(decided)
        left = [
            request
            for request, outcome in decided.items()
            if isinstance(outcome, FINAL) and not request.is_first_attempt
        ]
        for _ in range(MOST_ROUNDS_WITHOUT_PROGRESS):
            left = await self._reserve_keys(left, outcomes, deadline)
            if not left:
                return outcomes
        return outcomes | dict.fromkeys(left, OutcomeUnknown())

    async def _reserve_keys(
        self, requests: Sequence[BookRequest], outcomes: dict[BookRequest, BookOutcome], deadline: Deadline
    ) -> list[BookRequest]:
        """Write tombstones, and put changed outcomes into `outcomes`.

        Returns:
            The requests to retry: their keys had a row, which was replaced or expired before it was read.
        """
        keys: dict[InSite, int] = {}
        for request in requests:
            keys[request.key] = max(request.asked_at, keys.get(request.key, 0))
        written = dict(
            zip(keys, await self._writes.guarded(self._writes.reserve_keys, keys, deadline), strict=True)
        )
        duplicates = [key for key in keys if written[key] is WriteResult.DUPLICATE]
        try:
            found = await self._bookings.find(keys=duplicates, timeout=deadline.remaining)
        except (NotExecuted, OutcomeUnknown):
            written |= dict.fromkeys(duplicates, WriteResult.UNKNOWN)
        left = []
        for request in requests:
            if written[request.key] is WriteResult.DUPLICATE:
                tombstone = found.tombstones.get(request.key)
                if own := found.by_key.get(request.key):
                    outcomes[request] = replay(request, own)
                elif tombstone and tombstone.bars(request.asked_at):
                    outcomes[request] = AskedEarlier()
                else:
                    left.append(request)
            elif written[request.key] is not WriteResult.DONE:
                outcomes[request] = OutcomeUnknown()
        return left


class MoveFinality:
    """Makes refusals of moves final: advances the epochs of a batch of bookings in one round trip."""

    def __init__(self, bookings: BookingStore, writes: BookingWrites) -> None:
        self._bookings = bookings
        self._writes = writes

    async def make_final(
        self, decided: Mapping[MovePlan, ChangeOutcome], deadline: Deadline
    ) -> dict[MovePlan, ChangeOutcome]:
        """Advance the epochs of the bookings whose moves are refused.

        Returns:
            The outcomes of `decided`. A refusal becomes OutcomeUnknown if its epoch could not be advanced in
            time, and None (decide again) if another write changed the booking.
        """
        outcomes = dict(decided)
        refused = [plan for plan, o in decided.items() if isinstance(o, FINAL)]
        written = await self._writes.guarded(
            self._writes.advance_epochs, [_advance_epoch(plan) for plan in refused], deadline
        )
        advanced = dict(zip(refused, written, strict=True))
        unsure = [plan for plan, w in advanced.items() if w is WriteResult.UNSURE]
        lost = [plan for plan, w in advanced.items() if w not in (WriteResult.DONE, WriteResult.UNSURE)]
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
