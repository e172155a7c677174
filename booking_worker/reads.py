"""Use cases of bookings that only read. Knows no transport."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Literal, Protocol

from booking_worker.cursors import cursor_after, read_cursor
from booking_worker.service import valid_id
from shared.contract.commands import Window
from shared.contract.deadline import Deadline
from shared.contract.errors import NoSuchAppointment
from shared.contract.fields import DAY_MINUTES, MOST_RESOURCES
from shared.contract.replies import AppointmentsFound, GridFound, SlotsFound, TakenSlot
from shared.domain.booking import Booking
from shared.domain.claim import MOST_CLAIMS
from shared.domain.grid import Grid
from shared.stores.mongo.bookings import BookingStore
from shared.stores.mongo.windows import Stretch, WindowStore
from shared.stores.redis.held import HeldSlot, HeldStore
from shared.worker.batcher import Batcher

LARGEST_PAGE = 1000
LARGEST_PAGE_BYTES = 512 * 1024
"""Half of what one message of NATS carries."""


@dataclass(frozen=True)
class _Read:
    id: str
    deadline: Deadline
    weight: int = 1


class ReadService:
    """Reads what a majority has."""

    def __init__(self, bookings: BookingStore, windows: WindowStore, held: HeldStore, grid: Grid) -> None:
        self._bookings = bookings
        self._windows = windows
        self._held = held
        self._grid = grid
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

    async def list_appointments(self, window: Window, deadline: Deadline) -> AppointmentsFound:
        """A page of the bookings that overlap a window, by slot.

        Raises:
            InvalidRequest: the cursor is none.
            NotExecuted: there was no answer in time.
        """
        stretch = _stretch(window, read_cursor(window.cursor))
        found = await self._windows.find(stretch, limit=LARGEST_PAGE + 1, timeout=deadline.remaining)
        listed = [booking.to_appointment() for booking in found]
        sizes = accumulate(len(each.model_dump_json().encode()) for each in listed)
        fitting = sum(size <= LARGEST_PAGE_BYTES for size in sizes)
        page = listed[: min(fitting, LARGEST_PAGE)]
        return AppointmentsFound(appointments=page, next=_next(page, listed))

    async def list_slots(self, window: Window, deadline: Deadline) -> SlotsFound:
        """A page of what is booked or held in a window, by slot, without names. What is both is booked.

        Raises:
            InvalidRequest: the cursor is none.
            HoldsUnreachable, NotExecuted: there was no answer in time.
        """
        stretch = _stretch(window, read_cursor(window.cursor))
        # Holds first: one that is used up between the reads is seen as the booking that it became.
        held = await self._list_held(stretch, deadline)
        found = await self._windows.find(stretch, limit=LARGEST_PAGE + 1, timeout=deadline.remaining)
        by_slot = {each.slot: _taken(each, "held") for each in held}
        by_slot |= {each.slot: _taken(each, "booked") for each in found}
        taken = [by_slot[slot] for slot in sorted(by_slot)]
        page = taken[:LARGEST_PAGE]
        return SlotsFound.model_construct(
            site=window.site,
            resource=window.resource,
            from_=window.from_,
            to=window.to,
            taken=page,
            next=_next(page, taken),
        )

    def grid(self) -> GridFound:
        """Where slots lie, and how much one booking may claim."""
        return GridFound(
            slotMinutes=self._grid.minutes,
            longestMinutes=DAY_MINUTES if self._grid.minutes else None,
            mostResources=MOST_RESOURCES,
            mostClaims=MOST_CLAIMS,
        )

    async def _list_held(self, stretch: Stretch, deadline: Deadline) -> list[HeldSlot]:
        """The first of what is held, so many that they reach beyond a page."""
        start = max(stretch.start, stretch.after or stretch.start)
        held = await self._held.held(
            stretch.site, stretch.resource, start, stretch.end, limit=LARGEST_PAGE + 2, deadline=deadline
        )
        return [each for each in held if stretch.after is None or each.slot > stretch.after]

    async def _get_many(self, asked: Sequence[_Read], deadline: Deadline) -> list[Booking | None]:
        found = await self._bookings.get_many({each.id for each in asked}, timeout=deadline.remaining)
        return [found.get(each.id) for each in asked]


def _taken(each: Booking | HeldSlot, state: Literal["booked", "held"]) -> TakenSlot:
    return TakenSlot.model_construct(slot=each.slot, durationMinutes=each.duration, state=state)


def _stretch(window: Window, after: datetime | None) -> Stretch:
    return Stretch(window.site, window.resource, window.from_, window.to, after)


class _Slotted(Protocol):
    @property
    def slot(self) -> datetime: ...


def _next(page: Sequence[_Slotted], found: Sequence[_Slotted]) -> str | None:
    """The cursor of the page after this one of what was found."""
    return cursor_after(page[-1].slot) if len(page) < len(found) else None
