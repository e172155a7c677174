"""Carry out the commands of a conversation, as commands to the workers.

Keys and tokens come from the phone's number and the message in which it chose a time. So a text that arrives
twice, or that is sent again after no answer came, does its work once.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from gateway.sms.lines import Line
from gateway.sms.numbers import NumberDigests
from gateway.sms.sites import SiteFacts
from gateway.sms.steps import (
    Book,
    Booked,
    Command,
    Denied,
    Drop,
    Dropped,
    Find,
    Found,
    Gone,
    Held,
    Hold,
    Move,
    Moved,
    Offer,
    Outcome,
    Own,
    Read,
    Release,
    Released,
    Taken,
    WasRead,
)
from shared.client.command_client import CommandClient
from shared.client.requester import Requester
from shared.contract.commands import (
    BookAppointment,
    CancelAppointment,
    CommandT,
    GetAppointment,
    MoveAppointment,
    PlaceHold,
    ReleaseHold,
)
from shared.contract.errors import (
    AppointmentCancelled,
    Conflict,
    KeyReused,
    NoSuchAppointment,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    TooMany,
    TooManyRequests,
)
from shared.contract.instants import format_instant
from shared.contract.operation import BodyT, Operation
from shared.contract.operations import BOOK, CANCEL, GET, MOVE, PLACE, RELEASE
from shared.contract.replies import Appointment
from shared.contract.schedule_operations import FREE_SLOTS, NEXT_FREE
from shared.contract.schedules import FindFreeSlots, FindNextFree

MOST_OFFERS = 4
SEARCHED_DAYS = 4
"""Days with free times that are read for one list."""
DAY = timedelta(days=1)

log = structlog.get_logger()


class Calendar:
    """The calendar of a site, for one phone.

    Args:
        client: sends the commands.
        requester: the caller of the commands.
        line: the number that the phone writes to.
        site: the facts about its site.
        number: of the phone, in E.164.
        digests: of numbers.
    """

    def __init__(
        self,
        client: CommandClient,
        requester: Requester,
        *,
        line: Line,
        site: SiteFacts,
        number: str,
        digests: NumberDigests,
    ) -> None:
        self._client, self._requester = client, requester
        self._site, self._facts = line.site, site
        self._number, self._digests = number, digests

    async def carry_out(self, command: Command) -> Outcome:
        """Carry out a command.

        Raises:
            NotExecuted, OutcomeUnknown, TooManyRequests: the same text, sent again, is safe.
        """
        try:
            return await self._carry_out(command)
        except AppointmentCancelled:
            return Gone(command.own.id) if isinstance(command, Move) else Taken()
        except NoSuchAppointment:
            return Gone(command.own.id) if isinstance(command, Drop | Move) else Denied()
        except Conflict:
            return Taken()
        except (NotExecuted, OutcomeUnknown, TooManyRequests):
            raise
        except TooMany:
            return Denied(too_many=True)
        except Refused as refused:
            log.error("sms_command_refused", command=type(command).__name__, reason=type(refused).__name__)
            return Denied()

    async def _carry_out(self, command: Command) -> Outcome:
        match command:
            case Find():
                if command.release:
                    await self._release(command.release)
                return Found(command, await self._find(command))
            case Hold():
                return await self._hold(command)
            case Release(held):
                await self._release(held)
                return Released(held)
            case Book():
                return await self._book(command)
            case Read():
                read = await asyncio.gather(*map(self._appointment, command.own))
                return WasRead(command, {found.id: found for found in read if found is not None})
            case Drop(own):
                cancel = CancelAppointment(id=own.id)
                return Dropped(own, (await self._send(CANCEL, cancel)).appointment)
            case Move(own, offer, choice):
                move_id = self._key("move", own.id, format_instant(offer.slot), choice)
                move = MoveAppointment(id=own.id, slot=offer.slot, moveId=move_id)
                return Moved((await self._send(MOVE, move)).appointment, own.resource)

    async def _find(self, find: Find) -> tuple[Offer, ...]:
        """Return the first free starts: those of the first day that has some, and of the next ones."""
        moving = find.moving
        asked = {
            "site": self._site,
            "resource": (moving.resource,) if moving else None,
            "service": (moving and moving.service) or self._facts.service,
            "any": True,
        }
        offers: list[Offer] = []
        begin = find.start
        for _ in range(SEARCHED_DAYS):
            following = FindNextFree.model_validate({**asked, "from": begin})
            if not (first := (await self._send(NEXT_FREE, following)).free):
                break
            begin = first[0].slot + DAY
            window = FindFreeSlots.model_validate({**asked, "from": first[0].slot, "to": begin})
            free = (await self._send(FREE_SLOTS, window)).free
            offers += [Offer(slot=each.slot, resources=each.resources) for each in free]
            if len(offers) >= MOST_OFFERS:
                break
        return tuple(offers[:MOST_OFFERS])

    async def _hold(self, hold: Hold) -> Outcome:
        for resource in hold.offer.resources:
            place = PlaceHold(
                slot=hold.offer.slot,
                # A hold yields to a booking with its name, and others may know the number.
                patientName=self._token(hold.offer),
                site=self._site,
                resources=(resource,),
                service=self._facts.service,
                holdToken=self._token(hold.offer),
            )
            try:
                held = (await self._send(PLACE, place)).hold
            except Conflict:  # the slot may be free at another resource
                continue
            if hold.release:
                await self._release(hold.release)
            left = held.expiresAt - datetime.now(UTC)
            minutes = max(1, round(left.total_seconds() / 60))
            return Held(Offer(slot=held.slot, resources=(resource,)), minutes)
        return Taken()

    async def _book(self, command: Book) -> Outcome:
        offer = command.offer
        book = BookAppointment(
            slot=offer.slot,
            patientName=command.name or self._number,
            contact=self._number,
            site=self._site,
            resources=offer.resources,
            service=self._facts.service,
            holdToken=self._token(offer),
            idempotencyKey=self._key("book", format_instant(offer.slot), command.choice),
        )
        try:
            booked = await self._send(BOOK, book)
        except KeyReused:  # a text with another name was carried out, and its answer was lost
            if command.name is None:
                raise OutcomeUnknown from None
            return await self._book(Book(offer, command.choice, None))
        return Booked(booked.appointment, offer.resources[0])

    async def _appointment(self, own: Own) -> Appointment | None:
        try:
            return (await self._send(GET, GetAppointment(id=own.id))).appointment
        except NoSuchAppointment:
            return None

    async def _release(self, offer: Offer) -> None:
        """Give up a hold. If that fails, the hold expires by itself."""
        try:
            await self._send(RELEASE, ReleaseHold(holdToken=self._token(offer), site=self._site))
        except Refused:
            return

    async def _send(self, operation: Operation[CommandT, BodyT], command: CommandT) -> BodyT:
        return (await self._client.send(operation, command, requester=self._requester)).body

    def _token(self, offer: Offer) -> str:
        derived = self._digests.derive(self._number, "hold", self._site, format_instant(offer.slot))
        return str(UUID(bytes=derived[:16]))

    def _key(self, *parts: str) -> str:
        return f"sms-{self._digests.derive(self._number, *parts).hex()[:40]}"
