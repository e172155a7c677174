"""Use cases of bookings that only read. Knows no transport."""

from collections.abc import Sequence
from dataclasses import dataclass

from booking_worker.service import valid_id
from shared.contract.deadline import Deadline
from shared.contract.errors import NoSuchAppointment
from shared.domain.booking import Booking
from shared.stores.mongo.bookings import BookingStore
from shared.worker.batcher import Batcher


@dataclass(frozen=True)
class _Read:
    id: str
    deadline: Deadline
    weight: int = 1


class ReadService:
    """Reads what a majority has."""

    def __init__(self, bookings: BookingStore) -> None:
        self._bookings = bookings
        self._reads = Batcher(self._get_many, "get")

    async def get(self, id: str, deadline: Deadline) -> Booking:
        """Read a booking, together with all that are asked for at once.

        Raises:
            NoSuchAppointment, NotExecuted, OutcomeUnknown: the last two where there was no answer in time.
        """
        booking = await self._reads.submit(_Read(valid_id(id), deadline))
        if booking is None:
            raise NoSuchAppointment
        return booking

    async def _get_many(self, asked: Sequence[_Read], deadline: Deadline) -> list[Booking | None]:
        found = await self._bookings.get_many({each.id for each in asked}, timeout=deadline.remaining)
        return [found.get(each.id) for each in asked]
