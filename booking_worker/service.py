"""Use cases of bookings: book and read. Knows no transport; only the store's unique index decides."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog

from shared.contract.commands import BookAppointment
from shared.contract.deadline import Deadline
from shared.contract.errors import (
    HoldsUnreachable,
    KeyReused,
    NoPrimary,
    NoSuchAppointment,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    SlotAlreadyBooked,
    SlotHeld,
)
from shared.contract.fields import is_uuid
from shared.domain.booking import Booking
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.stores.mongo.bookings import BookingStore, Inserted, InSite
from shared.stores.mongo.schema import Schema
from shared.stores.redis.intents import BookingIntent, HoldState, IntentStore
from shared.stores.redis.keys import Holder
from shared.worker.batcher import Batcher

DUE_TOGETHER_MS = 100
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
    def key(self) -> InSite:
        return self.booking.site, self.booking.key


@dataclass(frozen=True)
class Booked:
    """A booking that stands; `replayed` if an earlier command with the same key made it."""

    booking: Booking
    replayed: bool = False


Outcome = Booked | Refused


class BookingService:
    """Books whatever commands are waiting together: a handful of round trips a batch, not a command."""

    def __init__(
        self, bookings: BookingStore, intents: IntentStore, schema: Schema, grid: Grid, digests: Digests
    ) -> None:
        self._bookings = bookings
        self._intents = intents
        self._schema = schema
        self._grid = grid
        self._digests = digests
        self._commits = Batcher(self.book_many)
        self._reads = Batcher(self._get_many)

    async def book(self, command: BookAppointment, deadline: Deadline) -> Booked:
        """Book a slot of all the resources that are asked for.

        Raises:
            SlotAlreadyBooked, SlotHeld, KeyReused, InvalidRequest, NotExecuted, OutcomeUnknown
        """
        self._schema.require()
        booking = Booking.new(command, self._grid.span_of(command), self._digests)
        holder = Holder(command.holdToken or "", self._digests.of_name(command.patientName))
        intent = BookingIntent(booking.id, booking.claims, holder)
        return await self._commits.submit(
            Request(booking, command.idempotencyKey is not None, intent, deadline)
        )

    async def get(self, id: str, deadline: Deadline) -> Booking:
        """Read a booking.

        Raises:
            NoSuchAppointment, NotExecuted
        """
        if not is_uuid(id):
            raise NoSuchAppointment
        try:
            async with asyncio.timeout(deadline.remaining):
                booking = await self._reads.submit((id.lower(), deadline))
        except TimeoutError:
            raise NotExecuted from None
        if booking is None:
            raise NoSuchAppointment
        return booking

    async def _get_many(self, asked: Sequence[tuple[str, Deadline]]) -> list[Booking | None]:
        latest = max(deadline.remaining for _, deadline in asked)
        found = await self._bookings.get_many({each for each, _ in asked}, timeout=latest)
        return [found.get(each) for each, _ in asked]

    async def book_many(self, requests: Sequence[Request]) -> list[Outcome]:
        """Decide a batch of requests; one outcome each, in their order.

        What is due together is decided together, by the first of its deadlines: none is executed after its
        own, when its next attempt may be under way.
        """
        decided = await asyncio.gather(*(self._decide(due) for due in _due_together(requests)))
        outcomes = {request: outcome for each in decided for request, outcome in each.items()}
        return [outcomes[request] for request in requests]

    async def _decide(self, requests: Sequence[Request]) -> dict[Request, Outcome]:
        """Register intents, insert, and look for what was in the way: a hold, a booking, an earlier self."""
        deadline = min((request.deadline for request in requests), key=lambda each: each.unix_ms)
        found = await self._register(requests, deadline)
        outcomes: dict[Request, Outcome] = {request: NotExecuted() for request in requests}
        held = [r for r in requests if found[r] is HoldState.OTHERS]
        passing = [r for r in requests if found[r] not in (HoldState.OTHERS, HoldState.NOT_ASKED)]
        for _ in range(MOST_ROUNDS):
            inserted = await self._insert(passing, deadline)
            outcomes |= {request: _outcome(request, each) for request, each in inserted.items()}
            duplicates = [r for r, each in inserted.items() if each is Inserted.DUPLICATE]
            explained = await self._explain(duplicates, held, deadline)
            outcomes |= explained
            held, passing = [], [request for request in duplicates if request not in explained]
            if not passing:
                break
        registered = [r for r in requests if found[r] not in (HoldState.OTHERS, HoldState.UNREACHABLE)]
        await self._clear({request: outcomes[request] for request in registered})
        return outcomes

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
        return dict(zip(requests, outcomes, strict=True))

    async def _explain(
        self, duplicates: Sequence[Request], held: Sequence[Request], deadline: Deadline
    ) -> dict[Request, Outcome]:
        """Why requests are refused: they have been carried out before, or a claim is booked, or held.

        Not told by the index that an insert met: where two are met only one is named, and a primary that was
        deposed has an old one. A duplicate of which nothing is found is left out.
        """
        refused = [*duplicates, *held]
        claims = {claim for request in refused for claim in request.booking.claims.in_site}
        keys = {request.key for request in refused if request.has_key}
        try:
            found = await self._bookings.find(keys=keys, claims=claims, timeout=deadline.remaining)
        except NoPrimary as nothing_done:
            return _each(duplicates, OutcomeUnknown()) | _each(held, nothing_done)
        except OutcomeUnknown as unknown:
            return _each(duplicates, unknown) | _each(held, NotExecuted())

        explained: dict[Request, Outcome] = {}
        for request in refused:
            if own := found.by_key.get(request.key):
                same = own.request_hash == request.booking.request_hash
                explained[request] = Booked(own, replayed=True) if same else KeyReused()
            elif request.booking.claims.in_site & found.booked:
                explained[request] = SlotAlreadyBooked()
        return _each(held, SlotHeld()) | explained

    async def _clear(self, decided: Mapping[Request, Outcome]) -> None:
        """The intents of what is decided; what is unknown may still be made, until its time is up."""
        known = [(r.intent, _stands(r, o)) for r, o in decided.items() if not isinstance(o, OutcomeUnknown)]
        try:
            await self._intents.clear_intents(known)
        except HoldsUnreachable:
            log.warning("intents_not_cleared", effect="they expire by themselves", bookings=len(known))


def _due_together(requests: Sequence[Request]) -> list[list[Request]]:
    groups: list[list[Request]] = []
    for request in sorted(requests, key=lambda each: each.deadline.unix_ms):
        if groups and request.deadline.unix_ms - groups[-1][0].deadline.unix_ms <= DUE_TOGETHER_MS:
            groups[-1].append(request)
        else:
            groups.append([request])
    return groups


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
