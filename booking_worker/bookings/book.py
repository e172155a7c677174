"""Decide a batch of bookings. The number of round trips depends on the batch, not on its commands."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from booking_worker.bookings.finality import KeyFinality
from booking_worker.bookings.intents import MAY_BE_REGISTERED, MAY_PASS, IntentClearer
from booking_worker.bookings.lately_booked import LatelyBooked
from booking_worker.bookings.outcomes import MOST_ROUNDS_WITHOUT_PROGRESS, REFUSALS, refusal_of
from booking_worker.bookings.requests import Booked, BookOutcome, BookRequest, replay, split_competitors
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    AskedEarlier,
    NoPrimary,
    NotExecuted,
    OutcomeUnknown,
    SlotAlreadyBooked,
)
from shared.stores.mongo.bookings import BookingStore, Tombstone
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites
from shared.stores.redis.intents import BLOCKED, HoldState, IntentStore


class Booker:
    """Books a batch. Only MongoDB's unique index decides which booking gets a claim."""

    def __init__(
        self,
        bookings: BookingStore,
        writes: BookingWrites,
        intents: IntentStore,
        clearer: IntentClearer,
        lately: LatelyBooked,
    ) -> None:
        self._bookings = bookings
        self._writes = writes
        self._intents = intents
        self._clearer = clearer
        self._lately = lately
        self._finality = KeyFinality(bookings, writes)

    async def commit(self, requests: Sequence[BookRequest], deadline: Deadline) -> list[BookOutcome]:
        """Decide a batch of requests by a deadline.

        0. MongoDB: read the claims that were recently found booked, and refuse their requests if they are.
           Refuse services that cannot be booked, unless an earlier attempt has booked them. Refuse slots that
           enforced schedules do not offer and their patients do not hold.
        1. Redis: one script reads the holds, and registers intents for the requests that no hold and no cap
           of a share blocks. It counts these in their shares.
        2. MongoDB: insert one request per claim in one bulk. The index decides, also between workers.
        3. MongoDB: behind the read barrier, read the reason of each failed insert. The reason also refuses
           the requests that were not inserted. Before a 409, reserve the key of a request that may have been
           sent before with a tombstone. A request asked later than its tombstone replaces it by its booking.

        Requests without a reason go to the next round. Intents are cleared after the callers are answered.

        Returns:
            One outcome per request, in order.
        """
        outcomes: dict[BookRequest, BookOutcome] = dict.fromkeys(requests, NotExecuted())
        known: dict[BookRequest, BookOutcome] = {r: r.invalid for r in requests if r.invalid}
        suspected = [request for request in requests if self._lately.has_any(request.claims.in_site)]
        if suspected or known:
            explained, _ = await self._explain([], [*known, *suspected], deadline)
            known |= explained
            outcomes |= await self._finality.make_final(known, deadline)
        not_offered: dict[BookRequest, BookOutcome] = {}
        if judged := [r for r in requests if r.not_offered and r not in known]:
            not_offered = await self._not_offered(judged, deadline)
        left = [request for request in requests if request not in known and request not in not_offered]
        states = await self._intents.register_intents(
            [request.intent for request in left], seconds=deadline.remaining
        )
        hold_states = dict(zip(left, states, strict=True))
        blocked: dict[BookRequest, BookOutcome] = {
            **not_offered,
            **{r: REFUSALS[hold_states[r]]() for r in left if hold_states[r] in BLOCKED},
        }
        passing = [request for request in left if hold_states[request] in MAY_PASS]
        rounds_without_progress = 0
        while rounds_without_progress < MOST_ROUNDS_WITHOUT_PROGRESS:
            firsts, competitors = split_competitors(passing)
            inserted = await self._insert(firsts, deadline)
            outcomes |= {request: _outcome(request, result) for request, result in inserted.items()}
            duplicates = [request for request, result in inserted.items() if result is WriteResult.DUPLICATE]
            if not (duplicates or competitors or blocked):  # as nearly always
                break
            explained, reusable = await self._explain(duplicates, [*blocked, *competitors], deadline)
            explained = {**blocked, **explained}
            outcomes |= await self._finality.make_final(explained, deadline)
            blocked = {}
            left = [request for request in (*duplicates, *competitors) if request not in explained]
            replaced = await self._replace(left, reusable, deadline)
            outcomes |= replaced
            tried, passing = passing, [request for request in left if request not in replaced]
            if not passing:
                break
            rounds_without_progress += len(passing) == len(tried)
        self._clearer.clear(
            (request.intent, state, _is_stored(request, outcomes[request]))
            for request, state in hold_states.items()
            if state in MAY_BE_REGISTERED and not isinstance(outcomes[request], OutcomeUnknown)
        )
        # A replay: the worker that booked may have died before it used up the holds.
        self._clearer.clear(
            (request.intent, HoldState.MINE, True)
            for request in known
            if _is_stored(request, outcomes[request])
        )
        return [outcomes[request] for request in requests]

    async def _not_offered(
        self, requests: Sequence[BookRequest], deadline: Deadline
    ) -> dict[BookRequest, BookOutcome]:
        """Return the refusals of slots that enforced schedules do not offer.

        A hold was granted before the schedule was changed, so its patient may still book it.
        """
        held = await self._intents.hold_all([r.intent for r in requests], seconds=deadline.remaining)
        return {
            request: request.not_offered
            for request, holds_all in zip(requests, held, strict=True)
            if request.not_offered and not holds_all
        }

    async def _insert(
        self, requests: Sequence[BookRequest], deadline: Deadline
    ) -> dict[BookRequest, WriteResult]:
        inserted = await self._writes.guarded(
            self._writes.insert_many, [request.booking for request in requests], deadline
        )
        return dict(zip(requests, inserted, strict=True))

    async def _explain(
        self, duplicates: Sequence[BookRequest], not_inserted: Sequence[BookRequest], deadline: Deadline
    ) -> tuple[dict[BookRequest, BookOutcome], dict[BookRequest, Tombstone]]:
        """Read behind the read barrier why requests are refused: own key used, or a claim booked.

        The duplicate-key error is no proof: MongoDB names one of several violated indexes only, and a deposed
        primary reads old rows.

        Args:
            duplicates: requests whose insert met a duplicate.
            not_inserted: requests that this attempt did not insert.
            deadline: of the batch.

        Returns:
            The outcomes of the requests that have a reason, and the tombstones that have a request's key.
        """
        refused = [*duplicates, *not_inserted]
        claims = {claim for request in refused for claim in request.claims.in_site}
        keys = {request.key for request in refused if not request.is_first_attempt}
        try:
            found = await self._bookings.find(keys=keys, claims=claims, timeout=deadline.remaining)
        except NoPrimary as no_primary:
            return {**_all(duplicates, OutcomeUnknown()), **_all(not_inserted, no_primary)}, {}
        except OutcomeUnknown as unknown:
            return {**_all(duplicates, unknown), **_all(not_inserted, NotExecuted())}, {}

        self._lately.note(claims, found.booked)
        explained: dict[BookRequest, BookOutcome] = {}
        for request in refused:
            if own := found.by_key.get(request.key):
                explained[request] = replay(request, own)
            elif (tombstone := found.tombstones.get(request.key)) and tombstone.bars(request.asked_at):
                explained[request] = AskedEarlier()
            elif request.claims.in_site & found.booked:
                explained[request] = SlotAlreadyBooked()
        return explained, {r: found.tombstones[r.key] for r in refused if r.key in found.tombstones}

    async def _replace(
        self, requests: Sequence[BookRequest], tombstones: Mapping[BookRequest, Tombstone], deadline: Deadline
    ) -> dict[BookRequest, BookOutcome]:
        """Turn the tombstones of requests into their bookings.

        Returns:
            Outcomes, without the requests to retry: their tombstone has changed, or a claim was taken.
        """
        bookings = {r: replace(r.booking, id=tombstones[r].id) for r in requests if r in tombstones}
        written = await self._writes.guarded(
            self._writes.replace_many, [(tombstones[r], b) for r, b in bookings.items()], deadline
        )
        return {
            request: Booked(booking) if result is WriteResult.DONE else refusal_of(result)
            for (request, booking), result in zip(bookings.items(), written, strict=True)
            if result not in (WriteResult.DUPLICATE, WriteResult.UNSURE)
        }


def _all(requests: Sequence[BookRequest], outcome: BookOutcome) -> dict[BookRequest, BookOutcome]:
    return dict.fromkeys(requests, outcome)


def _is_stored(request: BookRequest, outcome: BookOutcome) -> bool:
    """Return whether the requested claims are booked by this request or an earlier one with its key."""
    if not isinstance(outcome, Booked):
        return False
    return outcome.booking.status == "booked" and outcome.booking.claims == request.claims


def _outcome(request: BookRequest, inserted: WriteResult) -> BookOutcome:
    return Booked(request.booking) if inserted is WriteResult.DONE else refusal_of(inserted)
