"""Use cases of bookings: book and read. Knows no transport."""

from collections.abc import Sequence
from dataclasses import dataclass

from booking_worker.decisions import Booked, Decisions, Request
from shared.contract.commands import BookAppointment
from shared.contract.deadline import Deadline
from shared.contract.errors import NoSuchAppointment
from shared.contract.fields import is_uuid
from shared.domain.booking import Booking
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.schema import Schema
from shared.stores.redis.intents import BookingIntent
from shared.stores.redis.keys import Holder
from shared.worker.batcher import Batcher


@dataclass(frozen=True)
class _Read:
    id: str
    deadline: Deadline
    weight: int = 1


class BookingService:
    """Books and reads, together with all who wait for the same."""

    def __init__(
        self,
        bookings: BookingStore,
        decisions: Decisions,
        schema: Schema,
        grid: Grid,
        digests: Digests,
    ) -> None:
        self._bookings = bookings
        self._schema = schema
        self._grid = grid
        self._digests = digests
        self._commits = Batcher(decisions.decide, "book")
        self._reads = Batcher(self._get_many, "get")

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
            NoSuchAppointment, NotExecuted, OutcomeUnknown: the last two where there was no answer in time.
        """
        if not is_uuid(id):
            raise NoSuchAppointment
        booking = await self._reads.submit(_Read(id.lower(), deadline))
        if booking is None:
            raise NoSuchAppointment
        return booking

    async def _get_many(self, asked: Sequence[_Read], deadline: Deadline) -> list[Booking | None]:
        found = await self._bookings.get_many({each.id for each in asked}, timeout=deadline.remaining)
        return [found.get(each.id) for each in asked]
