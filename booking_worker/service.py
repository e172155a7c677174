"""Use cases of bookings: book and read. Knows no transport; only the store's unique index decides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from shared.contract.commands import BookAppointment
from shared.contract.deadline import Deadline
from shared.contract.errors import (
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
from shared.domain.grid import Grid
from shared.stores.mongo.bookings import BookingStore, Inserted
from shared.stores.mongo.schema import Schema
from shared.stores.redis.claims import BookingIntent, HoldClaim, HoldState
from shared.stores.redis.holds import HoldStore
from shared.stores.redis.scripts import HoldsUnreachable
from shared.worker.batcher import Batcher

log = structlog.get_logger()


@dataclass(frozen=True, eq=False)
class Request:
    """A command to book, with the booking it would make. A command without a key has no earlier self."""

    booking: Booking
    has_key: bool
    intent: BookingIntent
    deadline: Deadline

    @property
    def key(self) -> tuple[str, str]:
        return self.booking.resource, self.booking.key


@dataclass(frozen=True)
class Booked:
    """A booking that stands; `replayed` if an earlier command with the same key made it."""

    booking: Booking
    replayed: bool = False


class BookingService:
    """Books whatever commands are waiting together: a handful of round trips a batch, not a command."""

    def __init__(self, bookings: BookingStore, holds: HoldStore, schema: Schema, grid: Grid) -> None:
        self._bookings = bookings
        self._holds = holds
        self._schema = schema
        self._grid = grid
        self._batcher = Batcher(self.book_many)

    async def book(self, command: BookAppointment, deadline: Deadline) -> Booked:
        """Book a slot.

        Raises:
            SlotAlreadyBooked, SlotHeld, KeyReused, InvalidRequest, NotExecuted, OutcomeUnknown
        """
        self._schema.require()
        span = self._grid.span_of(command)
        booking = Booking.new(command, span)
        intent = BookingIntent(HoldClaim.of(command, span), booking.id)
        has_key = command.idempotencyKey is not None
        return await self._batcher.submit(Request(booking, has_key, intent, deadline))

    async def get(self, id: str, deadline: Deadline) -> Booking:
        """Read a booking.

        Raises:
            NoSuchAppointment, NotExecuted
        """
        booking = await self._bookings.get(id.lower(), timeout=deadline.remaining) if is_uuid(id) else None
        if booking is None:
            raise NoSuchAppointment
        return booking

    async def book_many(self, requests: Sequence[Request]) -> list[Booked | Refused]:
        """Decide a batch of requests; one outcome each, in their order."""
        latest = max((request.deadline for request in requests), key=lambda deadline: deadline.unix_ms)
        holds = await self._enter(requests, latest)
        inserted = await self._insert([r for r in requests if holds.get(r) is not HoldState.OTHERS], latest)
        refused = [r for r in requests if inserted.get(r, Inserted.DUPLICATE) is Inserted.DUPLICATE]
        explained = await self._explain_refusals(refused, set(inserted), latest)
        outcomes = {r: explained[r] if r in explained else _outcome(r, inserted[r]) for r in requests}
        await self._leave({r: outcomes[r] for r in inserted if r in holds})
        return list(outcomes.values())

    async def _enter(self, requests: Sequence[Request], latest: Deadline) -> dict[Request, HoldState]:
        """What each request finds held; left out where Redis cannot say: a booking goes on without it."""
        intents = [request.intent for request in requests]
        states = await self._holds.register_intents(intents, seconds=latest.remaining)
        if unread := states.count(None):
            log.warning("holds_unreachable", effect="booking goes on without them", bookings=unread)
        return {r: state for r, state in zip(requests, states, strict=True) if state is not None}

    async def _leave(self, decided: Mapping[Request, Booked | Refused]) -> None:
        """What is decided is no longer under way; what is unknown may still be, until its time is up."""
        known = [(r.intent, _stands(r, o)) for r, o in decided.items() if not isinstance(o, OutcomeUnknown)]
        try:
            await self._holds.clear_intents(known)
        except HoldsUnreachable:
            log.warning("holds_not_removed", effect="they expire by themselves", bookings=len(known))

    async def _insert(self, requests: Sequence[Request], latest: Deadline) -> dict[Request, Inserted]:
        try:
            await self._bookings.find_primary(timeout=latest.remaining)
        except NoPrimary:
            return dict.fromkeys(requests, Inserted.NO_PRIMARY)
        in_time = [r for r in requests if r.deadline.remaining > 0 and self._schema.verified]
        outcomes = await self._bookings.insert_many([r.booking for r in in_time], timeout=latest.remaining)
        return dict.fromkeys(requests, Inserted.NOT_EXECUTED) | dict(zip(in_time, outcomes, strict=True))

    async def _explain_refusals(
        self, refused: Sequence[Request], tried: set[Request], latest: Deadline
    ) -> dict[Request, Booked | Refused]:
        """Why a request was not inserted: it has been before, or the slot is booked (`tried`), or held.

        Not told by the index that the insert met: where two are met, only one is named.
        """
        held = [request for request in refused if request not in tried]
        slots = [(r.booking.resource, instant) for r in held for instant in r.booking.span.occupies]
        try:
            earlier = await self._bookings.find_by_keys(
                [r.key for r in refused if r.has_key], timeout=latest.remaining
            )
            booked = await self._bookings.find_booked(slots, timeout=latest.remaining)
        except NoPrimary as nothing_done:
            return {request: OutcomeUnknown() if request in tried else nothing_done for request in refused}
        except OutcomeUnknown as unknown:
            return {request: unknown if request in tried else NotExecuted() for request in refused}

        def explain(request: Request) -> Booked | Refused:
            if own := earlier.get(request.key):
                same = own.request_hash == request.booking.request_hash
                return Booked(own, replayed=True) if same else KeyReused()
            covered = {(request.booking.resource, instant) for instant in request.booking.span.occupies}
            return SlotAlreadyBooked() if request in tried or covered & booked else SlotHeld()

        return {request: explain(request) for request in refused}


def _stands(request: Request, outcome: Booked | Refused) -> bool:
    """Whether the slot that was asked for is booked now, by this request or an earlier one with its key."""
    if not isinstance(outcome, Booked):
        return False
    return outcome.booking.status == "booked" and outcome.booking.span == request.booking.span


def _outcome(request: Request, inserted: Inserted) -> Booked | Refused:
    match inserted:
        case Inserted.BOOKED:
            return Booked(request.booking)
        case Inserted.NOT_EXECUTED:
            return NotExecuted()
        case Inserted.NO_PRIMARY:
            return NoPrimary()
        case _:
            return OutcomeUnknown()
