"""The client for programs. A method builds a command, sends it, and returns the content of the reply."""

import math
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, TypeVar, overload

from ..contract.commands import (
    DEFAULT_RESOURCES,
    DEFAULT_SITE,
    AmendAppointment,
    AskGrid,
    BookAppointment,
    CancelAppointment,
    CommandT,
    GetAppointment,
    GetHistory,
    MoveAppointment,
    PlaceHold,
    ReleaseHold,
)
from ..contract.errors import InvalidRequest
from ..contract.events import BookingEvent, FollowEvents, consumer_of
from ..contract.headers import REPLAYED
from ..contract.operation import Operation
from ..contract.operations import (
    AMEND,
    BOOK,
    CANCEL,
    GET,
    GRID,
    HISTORY,
    LIST,
    LIST_SLOTS,
    MOVE,
    PLACE,
    RELEASE,
)
from ..contract.replies import Appointment, AppointmentsFound, Change, GridFound, Hold, SlotsFound, TakenSlot
from ..process.nats_access import read_access
from ..process.nats_options import checked_servers
from .command_client import CommandClient
from .context import ConnectionContext
from .events import read_events
from .options import Names, Time, command_of, validated

PageT = TypeVar("PageT", AppointmentsFound, SlotsFound)


class Booked(Appointment):
    """A booked appointment; `replayed` if an earlier call with the same key made it."""

    replayed: bool = False


class BookingClient(ConnectionContext):
    """Books, holds, moves and cancels appointments, over NATS.

        async with BookingClient("nats://localhost:4222") as client:
            booked = await client.book("2030-01-07T09:00Z", "Ada", resources=["dr-lee"])
            await client.cancel(booked.id)

    Args:
        url: one NATS server, or several separated by commas.
        timeout: the time for one call with its retries, in seconds, at least 1. The client retries a command
            whose reply is lost; the caller gets one answer.
        name: the name of the connection in NATS.
        tls: the certificates to trust and to present; None: those that the system trusts, with `tls://`.
        access: the path of this program's access file, in a deployment whose NATS has accounts.
        on_closed: called if NATS has permanently closed the connection.

    A time, such as a slot, is a string in ISO 8601 with an offset, or an aware `datetime`. The options:

    - `contact`: the patient's phone number or address; read back only by callers that may read names.
    - `site`: the branch or tenant to which resources and keys belong; default "default".
    - `resources`: the doctor, the room and so on, booked together: 1 to 8 names; default ["default"].
    - `duration_minutes`: a whole number up to 1440, refused with a grid of 0; default: one cell of the grid.
    - `service`: the id of a service in the schedule of one of the resources. It sets the duration and the
      buffers, and adds its own resources. A move without it keeps the appointment's service and buffers.
    - `hold_token`: the UUID of a hold. A hold without a token gets a new one. A booking or a move with the
      token takes the held slot and uses the hold up; so does a booking or a move for the hold's patient.
    - `idempotency_key`: 1 to 255 printable ASCII characters, a new key for every booking. After any failure,
      even in another process, you may retry `book` with the same key: it never books twice.
    - `move_id`: the idempotency key of a move of one appointment.
    - `if_version`: a move, amendment or cancel is carried out only if the appointment has this `version`.

    `BookAppointment`, `PlaceHold`, `MoveAppointment` and `ReleaseHold` have the same options as one object.

    A call that is not carried out raises a subclass of `Refused`: `InvalidRequest` if an argument is wrong,
    `NotExecuted` if nothing was done and nothing will be, `OutcomeUnknown` if the command was perhaps
    executed, or an error that the method names.

    Raises:
        ValueError: `url`, `timeout` or `access` is not usable.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 5,
        name: str = "booking-client",
        tls: ssl.SSLContext | None = None,
        access: str | os.PathLike[str] | None = None,
        on_closed: Callable[[], None] = lambda: None,
    ) -> None:
        try:
            checked_servers(url)
        except ValueError as error:
            raise ValueError(f"url {error}") from None
        if not (isinstance(timeout, int | float) and 1 <= timeout < math.inf):
            raise ValueError("timeout must be a number of seconds, at least 1")
        try:
            self._access = user = read_access(access) if access else None
        except ValueError as error:
            raise ValueError(f"access {error}") from None
        self._commands = CommandClient(
            url, timeout=timeout, name=name, tls=tls, access=user, on_closed=on_closed
        )

    async def connect(self) -> None:
        """Connect, and wait until a server is reachable."""
        await self._commands.connect()

    async def close(self) -> None:
        await self._commands.close()

    @property
    def refusal(self) -> str | None:
        """What to do, if NATS has refused a connection for want of the right credentials."""
        return self._commands.refusal

    @overload
    async def book(self, slot: BookAppointment, /) -> Booked: ...
    @overload
    async def book(
        self,
        slot: Time,
        patient_name: str,
        *,
        contact: str | None = None,
        site: str = DEFAULT_SITE,
        resources: Names = DEFAULT_RESOURCES,
        duration_minutes: int | None = None,
        service: str | None = None,
        hold_token: str | None = None,
        idempotency_key: str | None = None,
    ) -> Booked: ...
    async def book(self, slot: BookAppointment | Time, patient_name: str = "", **options: Any) -> Booked:
        """Book a slot.

        Raises:
            SlotAlreadyBooked, SlotHeld: subclasses of `Conflict`.
            AppointmentCancelled: a `Conflict` too; the booking with `idempotency_key` is cancelled.
            KeyReused: `idempotency_key` was used for a different booking.
        """
        command = command_of(BookAppointment, slot, patientName=patient_name, **options)
        reply = await self._commands.send(BOOK, command)
        return Booked.model_construct(
            **vars(reply.body.appointment), replayed=reply.headers.get(REPLAYED) == "true"
        )

    @overload
    async def hold(self, slot: PlaceHold, /) -> Hold: ...
    @overload
    async def hold(
        self,
        slot: Time,
        patient_name: str,
        *,
        contact: str | None = None,
        site: str = DEFAULT_SITE,
        resources: Names = DEFAULT_RESOURCES,
        duration_minutes: int | None = None,
        service: str | None = None,
        hold_token: str | None = None,
    ) -> Hold: ...
    async def hold(self, slot: PlaceHold | Time, patient_name: str = "", **options: Any) -> Hold:
        """Hold a slot for a patient for a limited time, or extend the hold with `hold_token`.

        Raises:
            SlotAlreadyBooked, SlotHeld: subclasses of `Conflict`.
        """
        command = command_of(PlaceHold, slot, patientName=patient_name, **options)
        return (await self._commands.send(PLACE, command)).body.hold

    @overload
    async def release(self, hold_token: ReleaseHold, /) -> None: ...
    @overload
    async def release(
        self, hold_token: str, *, slot: Time | None = None, site: str = DEFAULT_SITE
    ) -> None: ...
    async def release(self, hold_token: ReleaseHold | str, **options: Any) -> None:
        """End a hold with all its claims in the site; with a `slot`, only if the hold has this slot.

        Raises:
            NoSuchHold: the hold has ended, was used up, or does not have the slot.
        """
        command = command_of(ReleaseHold, hold_token, "hold_token", **options)
        await self._commands.send(RELEASE, command)

    @overload
    async def move(self, id: MoveAppointment, /) -> Appointment: ...
    @overload
    async def move(
        self,
        id: str,
        *,
        slot: Time | None = None,
        resources: Names | None = None,
        duration_minutes: int | None = None,
        service: str | None = None,
        hold_token: str | None = None,
        move_id: str | None = None,
        if_version: int | None = None,
    ) -> Appointment: ...
    async def move(self, id: MoveAppointment | str, **options: Any) -> Appointment:
        """Change an appointment's slot, resources, duration or service; omitted options keep their values.

        Raises:
            NoSuchAppointment, PreconditionFailed
            AppointmentCancelled: a `Conflict`; it has the `appointment`.
            SlotAlreadyBooked, SlotHeld: subclasses of `Conflict`; the appointment keeps its old slot.
            KeyReused: `move_id` was used for a different move.
        """
        command = command_of(MoveAppointment, id, "id", **options)
        return (await self._commands.send(MOVE, command)).body.appointment

    async def amend(
        self,
        id: str,
        *,
        patient_name: str | None = None,
        attendance: str | None = None,
        if_version: int | None = None,
    ) -> Appointment:
        """Correct the name of the patient, or note the attendance: "expected", "arrived" or "missed".

        Raises:
            NoSuchAppointment, PreconditionFailed
            AppointmentCancelled, NameErased: subclasses of `Conflict`.
        """
        command = validated(
            AmendAppointment,
            id=id,
            patientName=patient_name,
            attendance=attendance,
            if_version=if_version,
        )
        return (await self._commands.send(AMEND, command)).body.appointment

    async def cancel(self, id: str, *, if_version: int | None = None) -> Appointment:
        """Cancel an appointment; a second cancel changes nothing.

        Raises:
            NoSuchAppointment, PreconditionFailed
        """
        command = validated(CancelAppointment, id=id, if_version=if_version)
        return (await self._commands.send(CANCEL, command)).body.appointment

    async def appointment(self, id: str) -> Appointment:
        """Return an appointment, booked or cancelled.

        Raises:
            NoSuchAppointment
        """
        return (await self._commands.send(GET, validated(GetAppointment, id=id))).body.appointment

    async def history(self, id: str) -> list[Change]:
        """Return the changes of an appointment, the oldest first.

        Raises:
            NoSuchAppointment
        """
        return (await self._commands.send(HISTORY, validated(GetHistory, id=id))).body.history

    async def appointments(
        self,
        from_: Time,
        to: Time,
        *,
        resource: str | Names | None = None,
        site: str = DEFAULT_SITE,
    ) -> AsyncIterator[Appointment]:
        """Iterate over the booked appointments that overlap a window, ordered by slot and id.

        The loop reads a page when it needs it.

        Args:
            from_: the begin of the window.
            to: its end, at most 32 days after `from_`.
            resource: one resource or several; None: all resources of the site.
            site: the site.
        """
        window = {"from": from_, "to": to, "resource": resource, "site": site}
        async for page in _pages(self._commands, LIST, window):
            for appointment in page.appointments:
                yield appointment

    async def slots(
        self,
        from_: Time,
        to: Time,
        *,
        resource: str | Names | None = None,
        site: str = DEFAULT_SITE,
    ) -> AsyncIterator[TakenSlot]:
        """Iterate over the booked and held cells in a window, ordered by slot and resource.

        Arguments as for `appointments`. Without Redis, the held cells are missing.
        """
        window = {"from": from_, "to": to, "resource": resource, "site": site}
        async for page in _pages(self._commands, LIST_SLOTS, window):
            for taken in page.taken:
                yield taken

    def events(
        self, *, site: str | None = None, since: Time | None = None, durable: str | None = None
    ) -> AsyncGenerator[BookingEvent, None]:
        """Iterate without end over the changes of bookings.

        The client acknowledges an event when the loop asks for the next one. The events of a booking come in
        the order of its versions. An event may come twice, with the same `event_id`.

        Args:
            site: the site of the events; None: all sites.
            since: the time of the first event; None: now.
            durable: a name under which NATS remembers the last acknowledged event, even while the program
                does not run; programs with the same name share the events. With `access`, NATS does so under
                the name of the client in any case: `durable` is refused, and without `since` the first event
                is the oldest that was not acknowledged.

        Raises:
            InvalidRequest: an argument is wrong.
        """
        wanted = validated(FollowEvents, site=site, since=since, durable=durable)
        if self._access is None:
            return read_events(self._commands.connection, wanted)
        if durable is not None:
            raise InvalidRequest("durable is not for clients with access: NATS remembers their events anyway")
        return read_events(self._commands.connection, wanted, consumer_of(self._access.user))

    async def grid(self) -> GridFound:
        """Return the grid of the service and the limits of a booking."""
        return (await self._commands.send(GRID, AskGrid())).body


async def _pages(
    commands: CommandClient, operation: Operation[CommandT, PageT], window: dict[str, Any]
) -> AsyncIterator[PageT]:
    """Yield the pages of a list, and read a page only when the caller asks for it."""
    cursor: str | None = None
    while True:
        page = (await commands.send(operation, validated(operation.command, **window, cursor=cursor))).body
        yield page
        if page.next is None:
            return
        cursor = page.next
