"""What sends commands over NATS, as they are, and hands on the answers.

The gateway uses it by itself: it has commands already, and passes answers on unread.

`send` returns a `Reply` or raises a `Refused`. A command whose reply is lost is repeated within the
caller's timeout; its key, move id or token makes that safe, so the caller sees one answer.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from pydantic_core import to_json

from ..contract.asked_at import unix_ms_now
from ..contract.commands import CommandT
from ..contract.deadline import Deadline
from ..contract.envelope import Envelope, Reply, open_envelope, read_envelope, read_page
from ..contract.errors import OutcomeUnknown, Refused
from ..contract.fields import random_uuid
from ..contract.headers import ASKED_AT, DEADLINE, REPLAYED, REQUEST_ID
from ..contract.operation import BodyT, Operation
from ..contract.operations import OPERATIONS
from ..contract.replies import Readiness
from ..process.nats_options import NatsOptions
from ..process.nats_wire import GuardedClient, round_trip
from .attempts import Answer, Attempts, Send, attempt_seconds
from .batches import Batches
from .caller import Caller, Program
from .opened import Opened
from .requests import request
from .statistics import Statistics
from .workers import Workers


class CommandClient(Opened):
    """Sends commands to whichever worker is free. `timeout` is the caller's whole patience, in seconds.

    At least 1: a third of it is for one attempt, and the clocks of hosts may be 250 ms apart.

    `url` is one server of NATS, or a comma-separated list. `on_closed` is called where NATS has closed the
    connection for good.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 5,
        name: str = "booking-client",
        on_closed: Callable[[], None] = lambda: None,
    ) -> None:
        self._nats = NatsOptions(url, name, on_closed=on_closed)
        self._timeout = timeout
        self._connection = GuardedClient()
        self.statistics = Statistics()
        self._workers = Workers(self._connection)
        self._batches = {
            operation: Batches(self._connection, operation.many_subject, self.statistics)
            for operation in OPERATIONS
            if operation.batched
        }

    async def connect(self) -> None:
        """Connect; waits until a server is there."""
        # Nothing is buffered while disconnected: it would be sent after its caller has given up.
        await self._connection.connect(**self._nats.connect, pending_size=-1)

    async def close(self) -> None:
        self._nats.closing = True
        with suppress(AssertionError):  # there was no time to begin to connect
            await self._connection.close()

    @property
    def is_connected(self) -> bool:
        """Whether NATS is connected, and what it sends is read."""
        return self._connection.is_reading

    @property
    def connection(self) -> Client:
        """The connection to NATS."""
        return self._connection

    async def ask_nats(self, seconds: float) -> str | None:
        """What is wrong with NATS, which is given so many seconds to answer; None if nothing is."""
        if not self.is_connected:
            return "not connected"
        try:
            async with asyncio.timeout(seconds):
                await round_trip(self._connection)
        except (TimeoutError, NatsError):
            return "does not answer"
        return None

    async def ask_ready(
        self, subject: str, *, seconds: float, enough: Callable[[Readiness], bool]
    ) -> list[Readiness]:
        """As `Workers.ask_ready`."""
        return await self._workers.ask_ready(subject, seconds=seconds, enough=enough)

    async def send(
        self,
        operation: Operation[CommandT, BodyT],
        command: CommandT,
        payload: bytes | None = None,
        caller: Caller | None = None,
    ) -> Reply[BodyT]:
        """Have a worker carry out a command. If it lacks the operation's key, it gets a new one.

        `payload` is its JSON, if that is written already: without nulls, and not an empty object.
        `caller` waits for the answer, if it is not this program itself.

        Raises:
            Refused: one of `operation.refusals`, or what any command may meet: InvalidRequest, NotExecuted,
                OutcomeUnknown.
        """
        if payload is None:
            payload = to_json(command, exclude_none=True)
        is_new = operation.key is not None and getattr(command, operation.key) is None
        if is_new:  # a field more of the JSON: to copy the command would cost as much as to write it
            payload = b'%b,"%b":"%b"}' % (payload[:-1], str(operation.key).encode(), random_uuid().encode())
        caller = caller or Program()
        try:
            batches = self._batches.get(operation)
            if batches is None:
                reply = await self._send_alone(operation, payload, caller)
            else:
                reply = await self._send_in_batches(operation, batches, payload, caller, is_new)
        except OutcomeUnknown as error:
            failure: Refused = error
            if operation.reads:
                failure = OutcomeUnknown(OutcomeUnknown.of_a_read)
            elif is_new:
                failure = OutcomeUnknown(OutcomeUnknown.of_no_key)
        except Refused as error:
            failure = error
        else:
            if is_new:  # that an attempt of ours was replayed means nothing to the caller
                reply.headers.pop(REPLAYED, None)
            return reply
        failure.command = command
        raise failure

    async def _send_in_batches(
        self,
        operation: Operation[Any, BodyT],
        batches: Batches,
        payload: bytes,
        caller: Caller,
        is_new: bool,
    ) -> Reply[BodyT]:
        """The first attempt, which nearly always is answered, has neither a task nor a timer of its own."""
        began, asked_at, patience = asyncio.get_running_loop().time(), unix_ms_now(), self._timeout
        request_id, counts = caller.request_id, self.statistics.attempts
        seconds = attempt_seconds(patience)
        sent = batches.send(
            payload, seconds, asked_at, listen=patience, request_id=request_id, first=is_new, wakes=True
        )
        try:
            outcome = await sent.answer
            if not isinstance(outcome, Refused):
                reply = open_envelope(*outcome, operation.reply)
                counts[batches.subject, "answered"] += 1
                return reply
        except Refused as refused:
            if refused.status < 500:
                counts[batches.subject, "answered"] += 1
                raise
        except asyncio.CancelledError:
            counts[batches.subject, "cancelled"] += 1
            raise

        def send(seconds: float, listen: float, in_doubt: bool) -> Answer:
            first = is_new and not in_doubt
            sent = batches.send(payload, seconds, asked_at, listen=listen, request_id=request_id, first=first)
            return sent.answer

        return await self._retry(operation, batches.subject, caller, send, sent.answer, began=began)

    async def _send_alone(
        self, operation: Operation[Any, BodyT], payload: bytes, caller: Caller
    ) -> Reply[BodyT]:
        began, asked_at = asyncio.get_running_loop().time(), unix_ms_now()
        named = {REQUEST_ID: caller.request_id} if caller.request_id else {}

        def send(seconds: float, listen: float, _in_doubt: bool) -> Answer:
            headers = {DEADLINE: str(Deadline.after(seconds).unix_ms), ASKED_AT: str(asked_at)}
            return asyncio.ensure_future(self._request(operation, payload, listen, headers | named))

        first = send(attempt_seconds(self._timeout), self._timeout, False)
        return await self._retry(operation, operation.subject, caller, send, first, began=began)

    async def _request(
        self, operation: Operation[Any, Any], payload: bytes, seconds: float, headers: dict[str, str]
    ) -> Envelope | Refused:
        """The answer to a message of one command, as bytes if it is a page; or what became of it."""
        try:
            answer = await request(self._connection, operation.subject, payload, seconds, headers)
            return answer if operation.page else read_envelope(*answer)
        except Refused as refused:
            return refused

    async def _retry(
        self,
        operation: Operation[Any, BodyT],
        subject: str,
        caller: Caller,
        send: Send,
        first: Answer,
        *,
        began: float,
    ) -> Reply[BodyT]:
        def read(envelope: Envelope, repeated: bool) -> Reply[BodyT]:
            if operation.page:
                return read_page(*envelope, operation.reply)
            try:
                return open_envelope(*envelope, operation.reply)
            except Refused as refused:
                if not repeated or operation.done_before is not type(refused):
                    raise
                return Reply(operation.reply())

        attempts = Attempts(
            subject,
            caller,
            send,
            read,
            self._workers.why_unserved,
            first=first,
            began=began,
            patience=self._timeout,
            statistics=self.statistics,
        )
        return await attempts.run()
