"""Who gets what, for a batch of bookings: a handful of round trips a batch, not a command."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog

from shared.contract.deadline import Deadline
from shared.contract.errors import (
    HoldsUnreachable,
    KeyReused,
    NoPrimary,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    SlotAlreadyBooked,
    SlotHeld,
)
from shared.domain.booking import Booking
from shared.stores.mongo.bookings import BookingStore, Inserted, InSite
from shared.stores.mongo.schema import Schema
from shared.stores.redis.intents import BookingIntent, HoldState, IntentStore

REGISTERED = {HoldState.FREE, HoldState.MINE, HoldState.NOT_ASKED}
"""Where an intent may stand: one that could not be asked for may have been registered all the same."""
# What was in the way, and is gone when it is looked for, was cancelled, or known to a deposed primary alone.
MOST_ROUNDS = 3
CHANGING = "The slot was taken and is free again; nothing was done"

log = structlog.get_logger()


@dataclass(frozen=True, eq=False)
class Request:
    """A command to book, with the booking it would make. A command without a key has no earlier self."""

    booking: Booking
    has_key: bool
    intent: BookingIntent
    deadline: Deadline

    @property
    def weight(self) -> int:
        return len(self.booking.claims.keys)

    @property
    def key(self) -> InSite:
        return self.booking.site, self.booking.key


@dataclass(frozen=True)
class Booked:
    """A booking that stands; `replayed` if an earlier command with the same key made it."""

    booking: Booking
    replayed: bool = False


Outcome = Booked | Refused


class Decisions:
    """Books what can be booked of a batch. Only the store's unique index decides."""

    def __init__(self, bookings: BookingStore, intents: IntentStore, schema: Schema) -> None:
        self._bookings = bookings
        self._intents = intents
        self._schema = schema
        self._clearing: set[asyncio.Task[None]] = set()

    async def decide(self, requests: Sequence[Request], deadline: Deadline) -> list[Outcome]:
        """Decide a batch of requests by a deadline; one outcome each, in their order.

        1. Redis: one script reads the holds, and registers intents of those that may pass.
        2. MongoDB: one insert of the first that wants each claim. The index decides, whoever else inserts.
        3. Where one was refused: what is in the way is read behind a barrier, and refuses its rivals too.
        What is explained by nothing is tried again. Intents are cleared while the callers are answered.
        """
        found = await self._register(requests, deadline)
        outcomes: dict[Request, Outcome] = {request: NotExecuted() for request in requests}
        held = [r for r in requests if found[r] is HoldState.OTHERS]
        passing = [r for r in requests if found[r] not in (HoldState.OTHERS, HoldState.NOT_ASKED)]
        for _ in range(MOST_ROUNDS):
            firsts, rivals = _first_of_each_claim(passing)
            inserted = await self._insert(firsts, deadline)
            outcomes |= {request: _outcome(request, each) for request, each in inserted.items()}
            duplicates = [r for r, each in inserted.items() if each is Inserted.DUPLICATE]
            explained = await self._explain(duplicates, [*held, *rivals], deadline)
            outcomes |= explained
            outcomes |= {r: SlotHeld() for r in held if r not in explained}
            held, passing = [], [r for r in (*duplicates, *rivals) if r not in explained]
            if not passing:
                break
        self._clear({r: outcomes[r] for r in requests if found[r] in REGISTERED})
        return [outcomes[request] for request in requests]

    async def _register(self, requests: Sequence[Request], deadline: Deadline) -> dict[Request, HoldState]:
        """What each request finds held. Where Redis cannot say, a booking goes on without it."""
        intents = [request.intent for request in requests]
        states = await self._intents.register_intents(intents, seconds=deadline.remaining)
        if unread := states.count(HoldState.UNREACHABLE):
            log.warning("holds_unreachable", effect="booking goes on without them", bookings=unread)
        return dict(zip(requests, states, strict=True))

    async def _insert(self, requests: Sequence[Request], deadline: Deadline) -> dict[Request, Inserted]:
        try:
            await self._bookings.find_primary(timeout=deadline.remaining)
        except NoPrimary:
            return dict.fromkeys(requests, Inserted.NO_PRIMARY)
        if deadline.remaining <= 0 or not self._schema.verified:
            return dict.fromkeys(requests, Inserted.NOT_EXECUTED)
        bookings = [request.booking for request in requests]
        outcomes = await self._bookings.insert_many(bookings, timeout=deadline.remaining)
        if not self._schema.verified:  # meanwhile the index may have been gone: nothing is confirmed
            outcomes = [Inserted.UNKNOWN if each is Inserted.BOOKED else each for each in outcomes]
        return dict(zip(requests, outcomes, strict=True))

    async def _explain(
        self, duplicates: Sequence[Request], others: Sequence[Request], deadline: Deadline
    ) -> dict[Request, Outcome]:
        """Why requests are refused: they have been carried out before, or a claim of theirs is booked.

        Not told by the index that an insert met: where two are met only one is named, and a primary that was
        deposed has an old one. What nothing explains is left out. `others` were not inserted by this attempt.
        """
        refused = [*duplicates, *others]
        claims = {claim for request in refused for claim in request.booking.claims.in_site}
        keys = {request.key for request in refused if request.has_key}
        try:
            found = await self._bookings.find(keys=keys, claims=claims, timeout=deadline.remaining)
        except NoPrimary as nothing_done:
            return _each(duplicates, OutcomeUnknown()) | _each(others, nothing_done)
        except OutcomeUnknown as unknown:
            return _each(duplicates, unknown) | _each(others, NotExecuted())

        explained: dict[Request, Outcome] = {}
        for request in refused:
            if own := found.by_key.get(request.key):
                same = own.request_hash == request.booking.request_hash
                explained[request] = Booked(own, replayed=True) if same else KeyReused()
            elif request.booking.claims.in_site & found.booked:
                explained[request] = SlotAlreadyBooked()
        return explained

    def _clear(self, decided: Mapping[Request, Outcome]) -> None:
        """Begin to clear the intents of what is decided; what is unknown may still be made.

        Nobody waits for it: a Redis that hangs delays no answer.
        """
        known = [(r.intent, _stands(r, o)) for r, o in decided.items() if not isinstance(o, OutcomeUnknown)]
        task = asyncio.create_task(self._clear_intents(known))
        self._clearing.add(task)
        task.add_done_callback(self._clearing.discard)

    async def _clear_intents(self, known: Sequence[tuple[BookingIntent, bool]]) -> None:
        try:
            await self._intents.clear_intents(known)
        except HoldsUnreachable:
            log.warning("intents_not_cleared", effect="they expire by themselves", bookings=len(known))

    async def drain(self) -> None:
        """Wait until nothing is left to do for commands that were answered."""
        while self._clearing:
            await asyncio.wait(self._clearing)


def _first_of_each_claim(requests: Sequence[Request]) -> tuple[list[Request], list[Request]]:
    """Those that come first to all of their claims, and the others: of rivals one insert can succeed."""
    taken: set[InSite] = set()
    firsts: list[Request] = []
    rivals: list[Request] = []
    for request in requests:
        claims = request.booking.claims.in_site
        (firsts if taken.isdisjoint(claims) else rivals).append(request)
        taken |= claims
    return firsts, rivals


def _each(requests: Collection[Request], outcome: Outcome) -> dict[Request, Outcome]:
    return dict.fromkeys(requests, outcome)


def _stands(request: Request, outcome: Outcome) -> bool:
    """Whether what was asked for is booked now, by this request or an earlier one with its key."""
    if not isinstance(outcome, Booked):
        return False
    return outcome.booking.status == "booked" and outcome.booking.claims == request.booking.claims


def _outcome(request: Request, inserted: Inserted) -> Outcome:
    match inserted:
        case Inserted.BOOKED:
            return Booked(request.booking)
        case Inserted.DUPLICATE:
            return NotExecuted(CHANGING)
        case Inserted.NOT_EXECUTED:
            return NotExecuted()
        case Inserted.NO_PRIMARY:
            return NoPrimary()
        case Inserted.UNKNOWN:
            return OutcomeUnknown()
