"""Send commands over NATS, and return their replies.

The gateway uses `CommandClient` directly, because it has commands and passes replies on without parsing them.
`BookingClient` is the client for programs.
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nats.aio.client import Client
from pydantic_core import to_json

from ..contract.asked_at import unix_ms_now
from ..contract.commands import Command, CommandT
from ..contract.deadline import Deadline
from ..contract.envelope import Envelope, Reply, open_envelope, read_envelope, read_page
from ..contract.errors import OutcomeUnknown, Refused
from ..contract.fields import random_uuid
from ..contract.headers import ASKED_AT, CALLER, DEADLINE, REPLAYED, REQUEST_ID
from ..contract.operation import BodyT, Operation
from ..contract.operations import OPERATIONS
from ..process.nats_access import NatsAccess
from ..process.nats_options import NatsOptions
from ..process.nats_wire import GuardedClient
from .attempts import Answer, Attempts, SendAttempt, attempt_seconds
from .context import ConnectionContext
from .readiness import ReadinessProbe
from .requester import Program, Requester
from .statistics import Statistics
from .transport import Batches, request


class CommandClient(ConnectionContext):
    """Sends commands to the workers, and retries a command whose reply is lost.

    `readiness` asks NATS and the workers whether they can serve; `statistics` counts attempts and batches.

    Args:
        url: one NATS server, or several separated by commas.
        timeout: the time for one command with its retries, in seconds, at least 1: an attempt gets a third of
            it, and the clocks of two hosts may differ by 250 ms.
        name: the name of the connection in NATS.
        tls: the certificates to trust and to present; None: those that the system trusts, with `tls://`.
        access: the user of NATS; None in a deployment without accounts.
        on_closed: called if NATS has permanently closed the connection.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 5,
        name: str = "booking-client",
        tls: ssl.SSLContext | None = None,
        access: NatsAccess | None = None,
        on_closed: Callable[[], None] = lambda: None,
    ) -> None:
        self._nats = NatsOptions(url, name, tls=tls, access=access, on_closed=on_closed)
        self._prefix = prefix = access.subject_prefix if access else ""
        self._timeout = timeout
        self._attempt_seconds = attempt_seconds(timeout)
        self._connection = GuardedClient()
        self.statistics = Statistics()
        self.readiness = ReadinessProbe(self._connection, prefix)
        self._batches = {
            operation: Batches(self._connection, operation.many_subject, self.statistics, prefix=prefix)
            for operation in OPERATIONS
            if operation.batched
        }

    async def connect(self) -> None:
        """Connect, and wait until a server is reachable."""
        # Buffer nothing while disconnected: a buffered command would be sent after its caller has given up.
        await self._connection.connect(**self._nats.connect, pending_size=-1)

    async def close(self) -> None:
        self._nats.closing = True
        with suppress(AssertionError):  # raised if connecting has not begun
            await self._connection.close()

    @property
    def refusal(self) -> str | None:
        """What to do, if NATS has refused a connection for want of the right credentials."""
        return self._nats.refusal

    @property
    def connection(self) -> Client:
        """The connection to NATS."""
        return self._connection

    async def send(
        self,
        operation: Operation[CommandT, BodyT],
        command: CommandT,
        payload: bytes | None = None,
        requester: Requester | None = None,
    ) -> Reply[BodyT]:
        """Send a command to a worker, and return the reply.

        If the command lacks the operation's key, move id or token, add a new one: it makes retries safe.

        Args:
            operation: the operation of the command.
            command: the command.
            payload: the JSON of the command, if it exists already: a non-empty object without nulls.
            requester: what waits for the reply; None for this program.

        Raises:
            Refused: one of `operation.refusals`, or a refusal of any command: InvalidRequest, NotExecuted,
                OutcomeUnknown. Its `command` is set.
        """
        if payload is None:
            payload = to_json(command, exclude_none=True)
        is_new = operation.key is not None and getattr(command, operation.key) is None
        if is_new:  # into the JSON: copying the command would cost as much as serializing it
            payload = b'%b,"%b":"%b"}' % (payload[:-1], str(operation.key).encode(), random_uuid().encode())
        requester = requester or Program()
        try:
            batches = self._batches.get(operation)
            if batches is None:
                reply = await self._send_alone(operation, payload, requester)
            else:
                reply = await self._send_in_batches(operation, batches, payload, requester, is_new)
        except Refused as refused:
            # No local variable of this frame names the exception: it would be a cycle for the garbage
            # collector, which then takes a quarter of the time of a rush for one slot.
            raise _failure(refused, operation, command, is_new=is_new) from None
        if is_new:  # a replay of this client's own attempt is no replay for the caller
            reply.headers.pop(REPLAYED, None)
        return reply

    async def _send_in_batches(
        self,
        operation: Operation[Any, BodyT],
        batches: Batches,
        payload: bytes,
        requester: Requester,
        is_new: bool,
    ) -> Reply[BodyT]:
        """Send the first attempt without a task or a timer of its own: nearly always it is answered."""
        began, asked_at, timeout = asyncio.get_running_loop().time(), unix_ms_now(), self._timeout
        request_id, by, counts = requester.request_id, requester.caller, self.statistics.attempts
        sent = batches.send(
            payload,
            self._attempt_seconds,
            asked_at,
            listen=timeout,
            request_id=request_id,
            caller=by,
            first=is_new,
            wakes=True,
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
            sent = batches.send(
                payload,
                seconds,
                asked_at,
                listen=listen,
                request_id=request_id,
                caller=by,
                first=first,
            )
            return sent.answer

        return await self._retry(operation, batches.subject, requester, send, sent.answer, began=began)

    async def _send_alone(
        self, operation: Operation[Any, BodyT], payload: bytes, requester: Requester
    ) -> Reply[BodyT]:
        began, asked_at = asyncio.get_running_loop().time(), unix_ms_now()
        about = {REQUEST_ID: requester.request_id} if requester.request_id else {}
        if requester.caller:
            about[CALLER] = requester.caller.decode()

        def send(seconds: float, listen: float, _in_doubt: bool) -> Answer:
            headers = {DEADLINE: str(Deadline.after(seconds).unix_ms), ASKED_AT: str(asked_at)}
            return asyncio.ensure_future(self._request(operation, payload, listen, headers | about))

        first = send(self._attempt_seconds, self._timeout, False)
        return await self._retry(operation, operation.subject, requester, send, first, began=began)

    async def _request(
        self, operation: Operation[Any, Any], payload: bytes, seconds: float, headers: dict[str, str]
    ) -> Envelope | Refused:
        """Send one command alone, and return its answer (as bytes if it is a page) or its refusal."""
        try:
            address = self._prefix + operation.subject
            answer = await request(self._connection, address, payload, seconds, headers)
            return answer if operation.page else read_envelope(*answer)
        except Refused as refused:
            return refused

    async def _retry(
        self,
        operation: Operation[Any, BodyT],
        subject: str,
        requester: Requester,
        send: SendAttempt,
        first: Answer,
        *,
        began: float,
    ) -> Reply[BodyT]:
        def read(envelope: Envelope, in_doubt: bool) -> Reply[BodyT]:
            if operation.page:
                return read_page(*envelope, operation.reply)
            try:
                return open_envelope(*envelope, operation.reply)
            except Refused as refused:
                if not in_doubt or operation.done_before is not type(refused):
                    raise
                return Reply(operation.reply())  # an earlier attempt did it

        attempts = Attempts(
            subject,
            requester,
            send,
            read,
            self.readiness.why_unserved,
            first=first,
            began=began,
            timeout=self._timeout,
            statistics=self.statistics,
        )
        return await attempts.run()


def _failure(refused: Refused, operation: Operation[Any, Any], command: Command, *, is_new: bool) -> Refused:
    """Return the refusal to raise for a command; `is_new`: the client has added its key."""
    if isinstance(refused, OutcomeUnknown):
        if operation.reads:
            refused = OutcomeUnknown(OutcomeUnknown.of_a_read)
        elif is_new:
            refused = OutcomeUnknown(OutcomeUnknown.of_no_key)
    refused.command = command
    return refused
