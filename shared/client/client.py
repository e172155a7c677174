"""The client that others program against: a method for each thing one does with bookings.

It makes a command of what it is given, sends it by the `CommandClient`, and answers what the caller is after.
"""

import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from datetime import datetime
from typing import Any, TypeVar, overload

from ..contract.commands import (
    DEFAULT_RESOURCES,
    DEFAULT_SITE,
    AskGrid,
    BookAppointment,
    CancelAppointment,
    Command,
    GetAppointment,
    GetHistory,
    MoveAppointment,
    PlaceHold,
    ReleaseHold,
)
from ..contract.events import BookingEvent, FollowEvents
from ..contract.headers import REPLAYED
from ..contract.operation import Operation
from ..contract.operations import BOOK, CANCEL, GET, GRID, HISTORY, LIST, LIST_SLOTS, MOVE, PLACE, RELEASE
from ..contract.parsing import validate
from ..contract.replies import Appointment, AppointmentsFound, Change, GridFound, Hold, SlotsFound, TakenSlot
from ..process.nats_options import checked_servers
from .command_client import CommandClient
from .events import read_events
from .opened import Opened

Names = list[str] | tuple[str, ...]
Time = str | datetime

CommandT = TypeVar("CommandT", bound=Command)
PageT = TypeVar("PageT", AppointmentsFound, SlotsFound)


class Booked(Appointment):
    """A new appointment; `replayed` where an earlier booking with the same key had made it already."""

    replayed: bool = False


class BookingClient(Opened):
    """Books, holds, moves and cancels appointments, over NATS.

        async with BookingClient("nats://localhost:4222") as client:
            booked = await client.book("2030-01-07T09:00Z", "Ada", resources=["dr-lee"])
            await client.cancel(booked.id)

    `url` is one server of NATS, or a comma-separated list. `timeout` is your whole patience with one call, in
    seconds, at least 1: a command whose reply is lost is repeated within it, and you see one answer.
    `on_closed` is called where NATS has closed the connection for good.

    A slot, as every time, is a string in ISO 8601 with an offset, or an aware `datetime`. The options:

    - `site`: the branch or tenant, within which resources and keys have their names; "default".
    - `resources`: all that is wanted at once, the doctor and the room: 1 to 8 names; ["default"].
    - `duration_minutes`: any whole number up to 1440, unless the grid is 0; as long as one cell of the grid.
    - `hold_token`: a UUID, which names a hold. A hold without one gets a new one. A booking or a move with it
      takes what it holds, and uses it up; so does one under the name of the patient whose hold it is.
    - `idempotency_key`: 1 to 255 printable ASCII characters, new for each booking that you want. Then you may
      repeat `book` after whatever went wrong, even from another process, and never book twice.
    - `move_id`: the same for moves of an appointment.
    - `if_version`: a move or cancel is carried out only if the appointment has this `version`.

    Commands (`BookAppointment`, `PlaceHold`, `MoveAppointment`, `ReleaseHold`) say the same in one object.

    Every call raises a kind of `Refused` where it is not done: `InvalidRequest` where an argument is wrong,
    `NotExecuted` where nothing was done, nor will be, `OutcomeUnknown` where it may have been done, and what
    stands at each.

    Raises:
        ValueError: `url` or `timeout` cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 5,
        name: str = "booking-client",
        on_closed: Callable[[], None] = lambda: None,
    ) -> None:
        try:
            checked_servers(url)
        except ValueError as error:
            raise ValueError(f"url {error}") from None
        if not (isinstance(timeout, int | float) and 1 <= timeout < math.inf):
            raise ValueError("timeout must be a number of seconds, at least 1")
        self._commands = CommandClient(url, timeout=timeout, name=name, on_closed=on_closed)

    async def connect(self) -> None:
        """Connect; waits until a server is there."""
        await self._commands.connect()

    async def close(self) -> None:
        await self._commands.close()

    @overload
    async def book(self, slot: BookAppointment, /) -> Booked: ...
    @overload
    async def book(
        self,
        slot: Time,
        patient_name: str,
        *,
        site: str = DEFAULT_SITE,
        resources: Names = DEFAULT_RESOURCES,
        duration_minutes: int | None = None,
        hold_token: str | None = None,
        idempotency_key: str | None = None,
    ) -> Booked: ...
    async def book(self, slot: BookAppointment | Time, patient_name: str = "", **options: Any) -> Booked:
        """Book a slot.

        Raises:
            SlotAlreadyBooked, SlotHeld: each a `Conflict`.
            AppointmentCancelled: a `Conflict` too; the booking with that key is cancelled.
            KeyReused: `idempotency_key` was used for a different booking.
        """
        command = _command(BookAppointment, slot, patientName=patient_name, **options)
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
        site: str = DEFAULT_SITE,
        resources: Names = DEFAULT_RESOURCES,
        duration_minutes: int | None = None,
        hold_token: str | None = None,
    ) -> Hold: ...
    async def hold(self, slot: PlaceHold | Time, patient_name: str = "", **options: Any) -> Hold:
        """Keep a slot for a patient for a while, or extend the hold that `hold_token` names.

        Raises:
            SlotAlreadyBooked, SlotHeld: each a `Conflict`.
        """
        command = _command(PlaceHold, slot, patientName=patient_name, **options)
        return (await self._commands.send(PLACE, command)).body.hold

    @overload
    async def release(self, hold_token: ReleaseHold, /) -> None: ...
    @overload
    async def release(
        self, hold_token: str, *, slot: Time | None = None, site: str = DEFAULT_SITE
    ) -> None: ...
    async def release(self, hold_token: ReleaseHold | str, **options: Any) -> None:
        """End a hold, on all that it holds in its site; with a `slot`, only if it holds that.

        Raises:
            NoSuchHold: it has ended already, was used up, or does not hold the slot.
        """
        command = _command(ReleaseHold, hold_token, "hold_token", **options)
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
        hold_token: str | None = None,
        move_id: str | None = None,
        if_version: int | None = None,
    ) -> Appointment: ...
    async def move(self, id: MoveAppointment | str, **options: Any) -> Appointment:
        """Give an appointment another slot, other resources or another duration; what is left out stays.

        Raises:
            NoSuchAppointment, PreconditionFailed
            AppointmentCancelled: a `Conflict` too; it has the `appointment`.
            SlotAlreadyBooked, SlotHeld: each a `Conflict`; the appointment stays where it was.
            KeyReused: `move_id` was used for another target.
        """
        command = _command(MoveAppointment, id, "id", **options)
        return (await self._commands.send(MOVE, command)).body.appointment

    async def cancel(self, id: str, *, if_version: int | None = None) -> Appointment:
        """Cancel an appointment; one that is cancelled stays so.

        Raises:
            NoSuchAppointment, PreconditionFailed
        """
        command = _validated(CancelAppointment, id=id, if_version=if_version)
        return (await self._commands.send(CANCEL, command)).body.appointment

    async def appointment(self, id: str) -> Appointment:
        """An appointment, cancelled ones too.

        Raises:
            NoSuchAppointment
        """
        return (await self._commands.send(GET, _validated(GetAppointment, id=id))).body.appointment

    async def history(self, id: str) -> list[Change]:
        """What became of an appointment, the oldest first.

        Raises:
            NoSuchAppointment
        """
        return (await self._commands.send(HISTORY, _validated(GetHistory, id=id))).body.history

    async def appointments(
        self,
        from_: Time,
        to: Time,
        *,
        resource: str | Names | None = None,
        site: str = DEFAULT_SITE,
    ) -> AsyncIterator[Appointment]:
        """The appointments that overlap a window of at most 32 days, ordered by their slots and ids.

        Of one `resource` or several, else of all of the site. Cancelled ones are left out. Pages are read as
        the loop comes to them.
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
        """What is booked or held in a window of at most 32 days, in whole cells, by slot and resource.

        Where Redis is away, only what is booked.
        """
        window = {"from": from_, "to": to, "resource": resource, "site": site}
        async for page in _pages(self._commands, LIST_SLOTS, window):
            for taken in page.taken:
                yield taken

    def events(
        self, *, site: str | None = None, since: Time | None = None, durable: str | None = None
    ) -> AsyncGenerator[BookingEvent, None]:
        """Iterate over the changes of bookings as they are made, for ever.

        An event is acknowledged when the loop asks for the next one. Each booking's events come in the order
        of its versions. An event may come twice: `event_id` is then the same.

        Args:
            site: the events of one site; None: of all sites.
            since: from this moment on; None: from now on.
            durable: a name under which NATS remembers the last acknowledged event, also while the program is
                not running; programs with the same name share the events.

        Raises:
            InvalidRequest: an argument is wrong.
        """
        wanted = _validated(FollowEvents, site=site, since=since, durable=durable)
        return read_events(self._commands.connection, wanted)

    async def grid(self) -> GridFound:
        """Where slots may lie, and how long they may be."""
        return (await self._commands.send(GRID, AskGrid())).body


# How options are called on the wire, where that is another name.
_FIELDS = {
    "duration_minutes": "durationMinutes",
    "hold_token": "holdToken",
    "idempotency_key": "idempotencyKey",
    "if_version": "ifVersion",
    "move_id": "moveId",
}


def _command(model: type[CommandT], given: CommandT | Time, name: str = "slot", **fields: Any) -> CommandT:
    """The command that was given, or that is made of the field `name` and the others."""
    if not isinstance(given, model):
        return _validated(model, **{name: given}, **fields)
    if any(fields.values()):
        raise TypeError(f"{model.__name__} says all by itself")
    return given


def _validated(model: type[CommandT], **fields: Any) -> CommandT:
    """A command of what a caller said.

    Raises:
        InvalidRequest: with one sentence that names the field and never repeats its value.
    """
    for name in fields:
        if name in _FIELDS.values():
            raise TypeError(f"unexpected keyword argument {name!r}")
    return validate(model, {_FIELDS.get(name, name): value for name, value in fields.items()})


async def _pages(
    commands: CommandClient, operation: Operation[CommandT, PageT], window: dict[str, Any]
) -> AsyncIterator[PageT]:
    """The pages of a list, each as it is come to."""
    cursor: str | None = None
    while True:
        page = (await commands.send(operation, _validated(operation.command, **window, cursor=cursor))).body
        yield page
        if page.next is None:
            return
        cursor = page.next
