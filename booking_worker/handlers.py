"""NATS subjects of bookings. Each handler calls one use case and says what to answer."""

from faststream.nats import NatsBroker

from booking_worker.service import BookingService
from shared.contract import subjects
from shared.contract.commands import AskReady, BookAppointment, GetAppointment
from shared.contract.headers import REPLAYED
from shared.contract.many import BookMany
from shared.contract.replies import AppointmentFound, BookingConfirmed, Readiness, Reply
from shared.worker.answering import Each, current_deadline
from shared.worker.health import AskReadiness
from shared.worker.messages import decode


def register(broker: NatsBroker, service: BookingService, ask_readiness: AskReadiness) -> None:
    """Declare the subscribers on `broker`."""
    group = subjects.BOOKING_GROUP

    async def book(command: BookAppointment) -> Reply[BookingConfirmed]:
        booked = await service.book(command, current_deadline.get())
        body = BookingConfirmed(appointment=booked.booking.to_appointment())
        return Reply(body, 201, {REPLAYED: "true"} if booked.replayed else {})

    broker.subscriber(subjects.BOOK, queue=group, decoder=decode(BookAppointment), no_reply=True)(book)

    @broker.subscriber(subjects.BOOK_MANY, queue=group, decoder=decode(BookMany), no_reply=True)
    async def book_many(many: BookMany) -> Each:
        return Each(many.commands, BookMany.one, book)

    @broker.subscriber(subjects.GET_APPOINTMENT, queue=group, decoder=decode(GetAppointment), no_reply=True)
    async def get_appointment(command: GetAppointment) -> Reply[AppointmentFound]:
        booking = await service.get(command.id, current_deadline.get())
        return Reply(AppointmentFound(appointment=booking.to_appointment()))

    @broker.subscriber(subjects.BOOKING_READY, decoder=decode(AskReady), no_reply=True)
    async def ready(command: AskReady) -> Reply[Readiness]:
        readiness = await ask_readiness()
        return Reply(readiness, 200 if readiness.ready else 503)
