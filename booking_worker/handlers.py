"""Map each operation of the booking worker to its use case and its reply."""

from booking_worker.bookings.requests import Booked
from booking_worker.bookings.service import BookingService
from booking_worker.reads.service import ReadService
from shared.contract import operations
from shared.contract.envelope import Reply
from shared.contract.headers import ERASED, ETAG, REPLAYED, etag_of
from shared.contract.replies import (
    AppointmentFound,
    AppointmentsFound,
    BookingAmended,
    BookingCancelled,
    BookingConfirmed,
    BookingMoved,
    HistoryFound,
    SlotsFound,
)
from shared.domain.booking import Booking
from shared.worker.dispatcher import Handler, Handlers, unbatched


def handlers(bookings: BookingService, reads: ReadService, schedules: Handlers) -> Handlers:
    """Return the handler of each operation; `schedules` are those of the operations on schedules."""
    return {
        **schedules,
        operations.BOOK: Handler(bookings.book, _booked),
        operations.MOVE: Handler(bookings.move, _moved),
        operations.CANCEL: Handler(bookings.cancel, _cancelled),
        operations.AMEND: Handler(bookings.amend, _amended),
        operations.GET: Handler(reads.get, _found),
        operations.HISTORY: Handler(reads.get, _history),
        operations.LIST: Handler(
            unbatched(reads.list_appointments), lambda page: Reply.of_json(page, AppointmentsFound)
        ),
        operations.LIST_SLOTS: Handler(
            unbatched(reads.list_slots), lambda page: Reply.of_json(page, SlotsFound)
        ),
        operations.GRID: Handler(unbatched(reads.grid), Reply),
    }


def _booked(booked: Booked) -> Reply[BookingConfirmed]:
    booking = booked.booking
    headers = _etag(booking) | ({REPLAYED: "true"} if booked.replayed else {})
    if booking.patient_name is None:
        headers[ERASED] = "true"
    text = f'{{"message":"Booking confirmed","appointment":{booking.to_json()}}}'
    return Reply.of_json(text, BookingConfirmed, 201, headers)


def _moved(booking: Booking) -> Reply[BookingMoved]:
    text = f'{{"message":"Booking moved","appointment":{booking.to_json()}}}'
    return Reply.of_json(text, BookingMoved, headers=_etag(booking))


def _cancelled(booking: Booking) -> Reply[BookingCancelled]:
    text = f'{{"message":"Booking cancelled","appointment":{booking.to_json()}}}'
    return Reply.of_json(text, BookingCancelled, headers=_etag(booking))


def _amended(booking: Booking) -> Reply[BookingAmended]:
    text = f'{{"message":"Booking amended","appointment":{booking.to_json()}}}'
    return Reply.of_json(text, BookingAmended, headers=_etag(booking))


def _found(booking: Booking) -> Reply[AppointmentFound]:
    return Reply(AppointmentFound(appointment=booking.to_appointment()), headers=_etag(booking))


def _history(booking: Booking) -> Reply[HistoryFound]:
    return Reply(HistoryFound(history=[entry.to_change() for entry in booking.history]))


def _etag(booking: Booking) -> dict[str, str]:
    return {ETAG: etag_of(booking.version)}
