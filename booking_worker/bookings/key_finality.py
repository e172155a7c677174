"""Final refusals: after a 409 no earlier attempt of the same request books.

Before the 409 a tombstone reserves the request's idempotency key. An insert that MongoDB carries out after
that fails on the index of keys. If one was carried out before, its booking is the answer.
"""

from collections.abc import Mapping, Sequence

from booking_worker.bookings.outcomes import MOST_ROUNDS
from booking_worker.bookings.requests import Outcome, Request, replay
from shared.contract.deadline import Deadline
from shared.contract.errors import AskedEarlier, NotExecuted, OutcomeUnknown, SlotAlreadyBooked, SlotHeld
from shared.stores.mongo.bookings import BookingStore, InSite
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites


class Refusals:
    """Writes the tombstones of a batch together."""

    def __init__(self, bookings: BookingStore, writes: BookingWrites) -> None:
        self._bookings = bookings
        self._writes = writes

    async def make_final(
        self, judged: Mapping[Request, Outcome], deadline: Deadline
    ) -> dict[Request, Outcome]:
        """The outcomes of requests, once no earlier attempt can change those that are refused.

        Unknown if a tombstone could not be written in time: then the refusal would not be final.
        """
        outcomes = dict(judged)
        left = [
            r
            for r, o in judged.items()
            if isinstance(o, SlotAlreadyBooked | SlotHeld) and not r.is_first_attempt
        ]
        for _ in range(MOST_ROUNDS):
            left = await self._write(left, outcomes, deadline)
            if not left:
                return outcomes
        return outcomes | dict.fromkeys(left, OutcomeUnknown())

    async def _write(
        self, requests: Sequence[Request], outcomes: dict[Request, Outcome], deadline: Deadline
    ) -> list[Request]:
        """Write tombstones; return the requests whose keys are reserved already by nothing that is known."""
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
                else:  # it has just been replaced, or has expired
                    left.append(request)
            elif written[request.key] is not WriteResult.DONE:
                outcomes[request] = OutcomeUnknown()
        return left
