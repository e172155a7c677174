"""Who gets what, for a batch of bookings: a handful of round trips a batch, not a command."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from booking_worker.bookings.intents import PASSING, REGISTERED, Intents
from booking_worker.bookings.key_finality import Refusals
from booking_worker.bookings.lately_booked import LatelyBooked
from booking_worker.bookings.outcomes import MOST_ROUNDS, refusal_of
from booking_worker.bookings.requests import Booked, Outcome, Request, first_of_each_claim, replay
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    AskedEarlier,
    NoPrimary,
    NotExecuted,
    OutcomeUnknown,
    SlotAlreadyBooked,
    SlotHeld,
)
from shared.stores.mongo.bookings import BookingStore, Tombstone
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites
from shared.stores.redis.intents import HoldState


class Booker:
    """Books what can be booked of a batch. Only the store's unique index decides."""

    def __init__(
        self, bookings: BookingStore, writes: BookingWrites, intents: Intents, lately: LatelyBooked
    ) -> None:
        self._bookings = bookings
        self._writes = writes
        self._intents = intents
        self._lately = lately
        self._refusals = Refusals(bookings, writes)

    async def commit(self, requests: Sequence[Request], deadline: Deadline) -> list[Outcome]:
        """Decide a batch of requests by a deadline; one outcome each, in their order.

        0. What wants a claim that was lately found booked is looked for first, and refused if it is booked.
        1. Redis: one script reads the holds, and registers intents of those that may pass.
        2. MongoDB: one insert of the first that wants each claim. The index decides, whoever else inserts.
        3. Where one was refused: what is in the way is read behind a barrier, and refuses its rivals too.
           Before a 409, the key of a request that may have been sent before is reserved with a tombstone; a
           booking that was asked for later replaces the tombstone.
        What is explained by nothing is tried again. Intents are cleared after the callers are answered.
        """
        outcomes: dict[Request, Outcome] = {request: NotExecuted() for request in requests}
        guessed = [request for request in requests if self._lately.has_any(request.claims.in_site)]
        known, _ = await self._explain([], guessed, deadline)
        outcomes |= await self._refusals.make_final(known, deadline)
        left = [request for request in requests if request not in known]
        states = await self._intents.register([request.intent for request in left], deadline)
        found = dict(zip(left, states, strict=True))
        held = [request for request in left if found[request] is HoldState.OTHERS]
        passing = [request for request in left if found[request] in PASSING]
        rounds_without_progress = 0
        while rounds_without_progress < MOST_ROUNDS:
            firsts, rivals = first_of_each_claim(passing)
            inserted = await self._insert(firsts, deadline)
            outcomes |= {request: _outcome(request, each) for request, each in inserted.items()}
            duplicates = [request for request, each in inserted.items() if each is WriteResult.DUPLICATE]
            explained, reusable = await self._explain(duplicates, [*held, *rivals], deadline)
            explained |= {request: SlotHeld() for request in held if request not in explained}
            outcomes |= await self._refusals.make_final(explained, deadline)
            held, left = [], [request for request in (*duplicates, *rivals) if request not in explained]
            replaced = await self._replace(left, reusable, deadline)
            outcomes |= replaced
            waiting, passing = passing, [request for request in left if request not in replaced]
            if not passing:
                break
            rounds_without_progress += len(passing) == len(waiting)
        self._intents.clear(
            (request.intent, found[request], _stands(request, outcomes[request]))
            for request in found
            if found[request] in REGISTERED and not isinstance(outcomes[request], OutcomeUnknown)
        )
        # The worker that booked before a replay may have died before it cleared the holds.
        self._intents.clear(
            (request.intent, HoldState.MINE, True) for request in known if _stands(request, outcomes[request])
        )
        return [outcomes[request] for request in requests]

    async def _insert(self, requests: Sequence[Request], deadline: Deadline) -> dict[Request, WriteResult]:
        inserted = await self._writes.guarded(
            self._writes.insert_many, [request.booking for request in requests], deadline
        )
        return dict(zip(requests, inserted, strict=True))

    async def _explain(
        self, duplicates: Sequence[Request], others: Sequence[Request], deadline: Deadline
    ) -> tuple[dict[Request, Outcome], dict[Request, Tombstone]]:
        """Why requests are refused: they have been carried out before, or a claim of theirs is booked.

        The index that an insert met does not tell: of two that are met one is named, and a deposed primary
        has an old one. A request that nothing explains is left out; it may have a tombstone to replace.
        `others` were not inserted by this attempt.
        """
        refused = [*duplicates, *others]
        claims = {claim for request in refused for claim in request.claims.in_site}
        keys = {request.key for request in refused if not request.is_first_attempt}
        try:
            found = await self._bookings.find(keys=keys, claims=claims, timeout=deadline.remaining)
        except NoPrimary as nothing_done:
            return {**_each(duplicates, OutcomeUnknown()), **_each(others, nothing_done)}, {}
        except OutcomeUnknown as unknown:
            return {**_each(duplicates, unknown), **_each(others, NotExecuted())}, {}

        self._lately.note(claims, found.booked)
        explained: dict[Request, Outcome] = {}
        for request in refused:
            if own := found.by_key.get(request.key):
                explained[request] = replay(request, own)
            elif (tombstone := found.tombstones.get(request.key)) and tombstone.bars(request.asked_at):
                explained[request] = AskedEarlier()
            elif request.claims.in_site & found.booked:
                explained[request] = SlotAlreadyBooked()
        return explained, {r: found.tombstones[r.key] for r in refused if r.key in found.tombstones}

    async def _replace(
        self, requests: Sequence[Request], rows: Mapping[Request, Tombstone], deadline: Deadline
    ) -> dict[Request, Outcome]:
        """Replace tombstones by bookings. If one has changed, or a claim is met, its request is left out."""
        bookings = {r: replace(r.booking, id=rows[r].id) for r in requests if r in rows}
        written = await self._writes.guarded(
            self._writes.replace_many, [(rows[r], b) for r, b in bookings.items()], deadline
        )
        return {
            request: Booked(booking) if each is WriteResult.DONE else refusal_of(each)
            for (request, booking), each in zip(bookings.items(), written, strict=True)
            if each not in (WriteResult.DUPLICATE, WriteResult.UNSURE)
        }


def _each(requests: Sequence[Request], outcome: Outcome) -> dict[Request, Outcome]:
    return dict.fromkeys(requests, outcome)


def _stands(request: Request, outcome: Outcome) -> bool:
    """Whether what was asked for is booked now, by this request or an earlier one with its key."""
    if not isinstance(outcome, Booked):
        return False
    return outcome.booking.status == "booked" and outcome.booking.claims == request.claims


def _outcome(request: Request, inserted: WriteResult) -> Outcome:
    return Booked(request.booking) if inserted is WriteResult.DONE else refusal_of(inserted)
