"""What sends commands over NATS, as they are, and hands on the answers.

The gateway uses it by itself: it has commands already, and passes answers on unread.

`send` returns a `Reply` or raises a `Refused`. A command whose reply is lost is repeated within the
caller's timeout; its key, move id or token makes that safe, so the caller sees one answer.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

import structlog
from nats.errors import Error as NatsError

from ..contract.asked_at import unix_ms_now
from ..contract.commands import CommandT
from ..contract.deadline import Deadline
from ..contract.envelope import Envelope, Reply, open_envelope, read_envelope, read_page, read_reply
from ..contract.errors import NotExecuted, OutcomeUnknown, Refused
from ..contract.headers import ASKED_AT, DEADLINE, REPLAYED, REQUEST_ID, is_request_id
from ..contract.operation import BodyT, Operation
from ..contract.operations import OPERATIONS
from ..contract.replies import Readiness
from ..process.nats_options import NatsOptions
from ..process.nats_wire import GuardedClient, round_trip
from .attempts import Answer, Attempts
from .batches import Batches
from .nobody import Nobody
from .opened import Opened
from .requests import request
from .statistics import Statistics

LINGER_SECONDS = 0.05
READY_SECONDS = 0.3
"""How long workers that were not reached by a command may take to say why."""


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
        self._nobody = Nobody(self._ask_why)
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
        """Ask all workers of a kind whether they can serve: the subject of `BOOKING_READY` or `HOLD_READY`.

        What those say that answer in time, or hardly later than the first answer that is `enough`.
        """
        answers: list[Readiness] = []
        now = asyncio.get_running_loop().time
        with suppress(TimeoutError, NatsError):
            inbox = self._connection.new_inbox()
            subscription = await self._connection.subscribe(inbox)
            try:
                # Without a deadline: a worker whose clock is wrong answers too.
                await self._connection.publish(subject, b"{}", inbox, headers=_identified() or None)
                async with asyncio.timeout_at(ends := now() + seconds) as limit:
                    while True:
                        message = await subscription.next_msg(None)
                        if not message.data:  # it is NATS itself that says that there is none
                            break
                        with suppress(Refused):
                            answers.append(read_reply(message.data, message.headers or {}, Readiness).body)
                            if enough(answers[-1]):
                                limit.reschedule(ends := min(ends, now() + LINGER_SECONDS))
            finally:
                await subscription.unsubscribe()
        return answers

    async def send(self, operation: Operation[CommandT, BodyT], command: CommandT) -> Reply[BodyT]:
        """Have a worker carry out a command. If it lacks the operation's key, it gets a new one.

        Raises:
            Refused: one of `operation.refusals`, or what any command may meet: InvalidRequest, NotExecuted,
                OutcomeUnknown.
        """
        payload = command.model_dump_json(exclude_none=True).encode()
        is_new = operation.key is not None and getattr(command, operation.key) is None
        if is_new:  # a field more of the JSON: to copy the command would cost as much as to write it
            payload = b'%b,"%b":"%b"}' % (payload[:-1], str(operation.key).encode(), str(uuid4()).encode())
        batches, asked_at = self._batches.get(operation), unix_ms_now()
        subject = operation.subject if batches is None else operation.many_subject

        def send(seconds: float, listen: float, repeated: bool) -> Answer:
            if batches is None:
                headers = _headers(seconds) | {ASKED_AT: str(asked_at)}
                sent = self._request(subject, payload, listen, headers, unread=operation.page)
                return asyncio.ensure_future(sent)
            first = is_new and not repeated
            return batches.send(payload, seconds, asked_at, _request_id(), listen=listen, first=first)

        def read(envelope: Envelope, repeated: bool) -> Reply[BodyT]:
            if operation.page:
                return read_page(*envelope, operation.reply)
            try:
                return open_envelope(*envelope, operation.reply)
            except Refused as refused:
                if not repeated or operation.done_before is not type(refused):
                    raise
                return Reply(operation.answer)

        attempts = Attempts(
            subject, send, read, self._why_unserved, patience=self._timeout, statistics=self.statistics
        )
        try:
            reply = await attempts.run()
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

    async def _request(
        self, subject: str, payload: bytes, seconds: float, headers: dict[str, str], *, unread: bool
    ) -> Envelope | Refused:
        """The answer to a message of one command, as bytes if it is to be `unread`; or what became of it."""
        try:
            answer = await request(self._connection, subject, payload, seconds, headers)
            return answer if unread else read_envelope(*answer)
        except Refused as refused:
            return refused

    async def _why_unserved(self, subject: str) -> NotExecuted | None:
        return await self._nobody.explain(subject) if self.is_connected else None

    async def _ask_why(self, subject: str) -> list[Readiness]:
        return await self.ask_ready(subject, seconds=READY_SECONDS, enough=lambda worker: worker.ready)


def _request_id() -> str | None:
    """What the program has bound to its log under that name, if it is one: it is written into messages."""
    bound = structlog.contextvars.get_contextvars().get("request_id")
    return str(bound) if is_request_id(str(bound)) else None


def _headers(seconds: float) -> dict[str, str]:
    """Those of an attempt that may be started within `seconds`."""
    return {DEADLINE: str(Deadline.after(seconds).unix_ms)} | _identified()


def _identified() -> dict[str, str]:
    return {REQUEST_ID: request_id} if (request_id := _request_id()) else {}
