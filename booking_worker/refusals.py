"""Refusals that are final: who was told 409 is not booked later, by an earlier attempt that comes late.

Before such a refusal the command's key is taken, with a row that is no booking. An insert or a replacement
that MongoDB carries out after that fails. Where it was carried out before, its booking is the answer.
"""

from collections.abc import Mapping, Sequence

from booking_worker.requests import Outcome, Request, replay
from booking_worker.writes import MOST_ROUNDS, Writes
from shared.contract.deadline import Deadline
from shared.contract.errors import Conflict, NotExecuted, OutcomeUnknown
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.writes import Written


class Refusals:
    """Takes the keys of a batch together."""

    def __init__(self, bookings: BookingStore, writes: Writes) -> None:
        self._bookings = bookings
        self._writes = writes

    async def make_final(
        self, judged: Mapping[Request, Outcome], deadline: Deadline
    ) -> dict[Request, Outcome]:
        """The outcomes of requests, once no earlier attempt can change those that are refused.

        Unknown where a key could not be taken in time: then it is not final.
        """
        outcomes = dict(judged)
        left = [r for r, o in judged.items() if isinstance(o, Conflict) and r.may_have_been_sent]
        for _ in range(MOST_ROUNDS):
            left = await self._take(left, outcomes, deadline)
            if not left:
                return outcomes
        return outcomes | dict.fromkeys(left, OutcomeUnknown())

    async def _take(
        self, requests: Sequence[Request], outcomes: dict[Request, Outcome], deadline: Deadline
    ) -> list[Request]:
        """Take keys, and say whose of those that are taken already is not known yet."""
        keys = {request.key: request.booking.created_at for request in requests}
        taken = dict(zip(keys, await self._writes.refuse(keys, deadline), strict=True))
        duplicates = [key for key in keys if taken[key] is Written.DUPLICATE]
        try:
            found = await self._bookings.find(keys=duplicates, timeout=deadline.remaining)
        except (NotExecuted, OutcomeUnknown):
            taken |= dict.fromkeys(duplicates, Written.UNKNOWN)
        left = []
        for request in requests:
            if taken[request.key] is Written.DUPLICATE:
                if own := found.by_key.get(request.key):
                    outcomes[request] = replay(request, own)
                else:  # another has just taken it, before or after the attempt that has to be kept out
                    left.append(request)
            elif taken[request.key] is not Written.DONE:
                outcomes[request] = OutcomeUnknown()
        return left
