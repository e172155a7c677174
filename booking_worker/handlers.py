"""NATS subjects of bookings. Each handler calls one use case and says what to answer."""

from dataclasses import dataclass

from faststream.nats import NatsBroker

from booking_worker.reads import ReadService
from booking_worker.service import BookingService
from shared.contract import subjects
from shared.contract.commands import (
    AskGrid,
    AskReady,
    BookAppointment,
    CancelAppointment,
    GetAppointment,
    GetHistory,
    ListAppointments,
    ListSlots,
    MoveAppointment,
)
from shared.contract.envelope import Reply
from shared.contract.headers import ETAG, REPLAYED, etag_of
from shared.contract.many import BookMany, CancelMany, MoveMany
from shared.contract.replies import (
    AppointmentFound,
    AppointmentsFound,
    BookingCancelled,
    BookingConfirmed,
    BookingMoved,
    GridFound,
    HistoryFound,
    Readiness,
    SlotsFound,
)
from shared.domain.booking import Booking
from shared.process.health import AskReadiness
from shared.worker.answering import Each, current_attempt
from shared.worker.messages import decode


@dataclass(frozen=True)
class UseCases:
    """What this worker can do."""

    bookings: BookingService
    reads: ReadService


def register(broker: NatsBroker, use_cases: UseCases, ask_readiness: AskReadiness) -> None:
    """Declare the subscribers on `broker`."""
    _register_changes(broker, use_cases)
    _register_reads(broker, use_cases)

    @broker.subscriber(subjects.BOOKING_READY, decoder=decode(AskReady), no_reply=True)
    async def ready(command: AskReady) -> Reply[Readiness]:
        readiness = await ask_readiness()
        return Reply(readiness, 200 if readiness.ready else 503)


def _register_changes(broker: NatsBroker, use_cases: UseCases) -> None:
    group = subjects.BOOKING_GROUP

    async def book(command: BookAppointment) -> Reply[BookingConfirmed]:
        attempt = current_attempt.get()
        booked = await use_cases.bookings.book(
            command, attempt.deadline, first=attempt.first, asked_at=attempt.asked_at
        )
        body = BookingConfirmed(appointment=booked.booking.to_appointment())
        replayed = {REPLAYED: "true"} if booked.replayed else {}
        return Reply(body, 201, _etag(booked.booking) | replayed)

    async def cancel(command: CancelAppointment) -> Reply[BookingCancelled]:
        attempt = current_attempt.get()
        booking = await use_cases.bookings.cancel(command, attempt.deadline, alone=attempt.alone)
        return Reply(BookingCancelled(appointment=booking.to_appointment()), headers=_etag(booking))

    async def move(command: MoveAppointment) -> Reply[BookingMoved]:
        attempt = current_attempt.get()
        booking = await use_cases.bookings.move(
            command, attempt.deadline, asked_at=attempt.asked_at, alone=attempt.alone
        )
        return Reply(BookingMoved(appointment=booking.to_appointment()), headers=_etag(booking))

    broker.subscriber(subjects.BOOK, queue=group, decoder=decode(BookAppointment), no_reply=True)(book)
    broker.subscriber(subjects.CANCEL, queue=group, decoder=decode(CancelAppointment), no_reply=True)(cancel)
    broker.subscriber(subjects.MOVE, queue=group, decoder=decode(MoveAppointment), no_reply=True)(move)

    @broker.subscriber(subjects.BOOK_MANY, queue=group, decoder=decode(BookMany), no_reply=True)
    async def book_many(many: BookMany) -> Each:
        return Each(many, book)

    @broker.subscriber(subjects.CANCEL_MANY, queue=group, decoder=decode(CancelMany), no_reply=True)
    async def cancel_many(many: CancelMany) -> Each:
        return Each(many, cancel)

    @broker.subscriber(subjects.MOVE_MANY, queue=group, decoder=decode(MoveMany), no_reply=True)
    async def move_many(many: MoveMany) -> Each:
        return Each(many, move)


def _register_reads(broker: NatsBroker, use_cases: UseCases) -> None:
    group = subjects.BOOKING_GROUP

    @broker.subscriber(subjects.GET_APPOINTMENT, queue=group, decoder=decode(GetAppointment), no_reply=True)
    async def get_appointment(command: GetAppointment) -> Reply[AppointmentFound]:
        booking = await use_cases.reads.get(command.id, current_attempt.get().deadline)
        return Reply(AppointmentFound(appointment=booking.to_appointment()), headers=_etag(booking))

    @broker.subscriber(subjects.GET_HISTORY, queue=group, decoder=decode(GetHistory), no_reply=True)
    async def get_history(command: GetHistory) -> Reply[HistoryFound]:
        booking = await use_cases.reads.get(command.id, current_attempt.get().deadline)
        return Reply(HistoryFound(history=[entry.to_change() for entry in booking.history]))

    @broker.subscriber(
        subjects.LIST_APPOINTMENTS, queue=group, decoder=decode(ListAppointments), no_reply=True
    )
    async def list_appointments(command: ListAppointments) -> Reply[AppointmentsFound]:
        page = await use_cases.reads.list_appointments(command, current_attempt.get().deadline)
        return Reply.of_json(page, AppointmentsFound)

    @broker.subscriber(subjects.LIST_SLOTS, queue=group, decoder=decode(ListSlots), no_reply=True)
    async def list_slots(command: ListSlots) -> Reply[SlotsFound]:
        page = await use_cases.reads.list_slots(command, current_attempt.get().deadline)
        return Reply.of_json(page, SlotsFound)

    @broker.subscriber(subjects.GET_GRID, queue=group, decoder=decode(AskGrid), no_reply=True)
    async def get_grid(command: AskGrid) -> Reply[GridFound]:
        return Reply(use_cases.reads.grid())


def _etag(booking: Booking) -> dict[str, str]:
    return {ETAG: etag_of(booking.version)}
