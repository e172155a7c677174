"""The typed NATS client: what the gateway uses, and any other Python service can.

    async with BookingClient("nats://localhost:4222") as client:
        reply = await client.book(BookAppointment(slot="2025-12-05T10:00:00Z", patientName="Ada"))
        print(reply.body.appointment.id)

Every method returns a `Reply` or raises a `Refused`. A command whose reply is lost is
repeated within the caller's timeout; its key or token makes that safe, so the caller sees one answer.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self, TypeVar
from uuid import uuid4

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError, OutboundBufferLimitError
from nats.errors import TimeoutError as NoReplyError
from pydantic import BaseModel

from ..contract import subjects
from ..contract.commands import AskReady, BookAppointment, Command, GetAppointment, PlaceHold
from ..contract.deadline import DEADLINE_HEADER, Deadline
from ..contract.errors import NoPrimary, NotExecuted, OutcomeUnknown, Refused, SlotHeld
from ..contract.replies import AppointmentFound, BookingConfirmed, HoldPlaced, Readiness, Reply, read_reply
from ..contract.request_id import HEADER as REQUEST_ID
from ..process.nats_options import NatsOptions

ATTEMPTS = 3
NO_RESPONDERS_PAUSE_SECONDS = 0.1

BodyT = TypeVar("BodyT", bound=BaseModel)
log = structlog.get_logger()


class BookingClient:
    """Sends commands to whichever worker is free. `timeout` is the caller's whole patience, in seconds.

    `url` is one server of NATS, or a comma-separated list.
    """

    def __init__(self, url: str, *, timeout: float = 5, name: str = "booking-client") -> None:
        self._nats = NatsOptions(url, name)
        self._timeout = timeout
        self._connection = Client()

    async def connect(self) -> None:
        """Connect; waits until a server is there."""
        # Nothing is buffered while disconnected: it would be sent after its caller has given up.
        await self._connection.connect(**self._nats.connect, pending_size=-1)

    async def close(self) -> None:
        self._nats.closing = True
        with suppress(AssertionError):  # there was no time to begin to connect
            await self._connection.close()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def is_connected(self) -> bool:
        return self._connection.is_connected

    async def book(self, command: BookAppointment) -> Reply[BookingConfirmed]:
        """Book a slot.

        Raises:
            SlotAlreadyBooked, SlotHeld, KeyReused, InvalidRequest, NotExecuted, OutcomeUnknown
        """
        if command.idempotencyKey is not None:
            return await self._request(subjects.BOOK, command, BookingConfirmed)
        command = command.model_copy(update={"idempotencyKey": str(uuid4())})
        reply = await self._request(subjects.BOOK, command, BookingConfirmed)
        return replace(reply, headers={})  # that an attempt of ours was replayed means nothing to the caller

    async def place_hold(self, command: PlaceHold) -> Reply[HoldPlaced]:
        """Hold a slot, or extend the hold that `holdToken` names.

        Raises:
            SlotAlreadyBooked, SlotHeld, InvalidRequest, NotExecuted, OutcomeUnknown
        """
        if command.holdToken is None:
            command = command.model_copy(update={"holdToken": str(uuid4())})
        return await self._request(subjects.PLACE_HOLD, command, HoldPlaced)

    async def get_appointment(self, command: GetAppointment) -> Reply[AppointmentFound]:
        """Read an appointment back.

        Raises:
            NoSuchAppointment, NotExecuted, OutcomeUnknown
        """
        return await self._request(subjects.GET_APPOINTMENT, command, AppointmentFound)

    async def ask_ready(self, subject: str, *, timeout: float) -> Reply[Readiness]:
        """Ask one worker of a kind (`subjects.BOOKING_READY`, `HOLD_READY`) whether it can serve.

        Raises:
            NotExecuted: no worker of that kind answers.
        """
        try:
            return await self._attempt(subject, AskReady(), Readiness, timeout)
        except OutcomeUnknown:
            raise NotExecuted("no worker answers") from None

    async def _request(self, subject: str, command: Command, body: type[BodyT]) -> Reply[BodyT]:
        """Attempt a command up to three times, a third of the timeout each, never two at once.

        The next attempt waits until the deadline of the one before has passed, so that no two are
        ever under way together. 503 is answered only if no attempt can have been executed.
        """
        unknown: OutcomeUnknown | None = None
        failure: Refused = OutcomeUnknown()
        for attempt in range(1, ATTEMPTS + 1):
            started = time.monotonic()
            pause = self._timeout / ATTEMPTS
            try:
                return await self._attempt(subject, command, body, pause)
            except _NobodyThere as error:
                failure, pause = unknown or error, NO_RESPONDERS_PAUSE_SECONDS * attempt
            except NoPrimary as error:
                failure = unknown or error  # one may be elected in the caller's time
            except NotExecuted:
                if unknown is None:
                    raise
                failure = unknown  # the next attempt may hear what became of it
            except OutcomeUnknown as error:
                failure = unknown = error
                log.warning("attempt_unanswered", subject=subject, attempt=attempt)
            except SlotHeld:
                # An attempt that was not answered may yet book: the hold that was met came after it.
                if unknown is None or subject != subjects.BOOK:
                    raise
            if attempt < ATTEMPTS:
                await asyncio.sleep(max(0, started + pause - time.monotonic()))
        raise failure

    async def _attempt(
        self, subject: str, command: Command, body: type[BodyT], seconds: float
    ) -> Reply[BodyT]:
        headers = {DEADLINE_HEADER: str(Deadline.after(seconds).unix_ms)}
        if request_id := structlog.contextvars.get_contextvars().get("request_id"):
            headers[REQUEST_ID] = request_id
        payload = command.model_dump_json(exclude_none=True).encode()
        if not self._connection.is_connected:
            raise _NobodyThere("The message queue cannot be reached; nothing was done")
        try:
            message = await self._connection.request(subject, payload, timeout=seconds, headers=headers)
        except NoRespondersError:
            raise _NobodyThere("No worker is free to answer; nothing was done") from None
        except OutboundBufferLimitError:
            raise _NobodyThere("The message queue cannot be reached; nothing was done") from None
        except (NoReplyError, NatsError):
            raise OutcomeUnknown() from None
        return read_reply(message.data, message.headers or {}, body)


class _NobodyThere(NotExecuted):
    """The command did not reach a worker; worth trying again at once."""
