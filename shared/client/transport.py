"""Send messages over NATS: a request, or many commands in one message, which share its cost.

A command leaves at once if few messages are in flight, together with the other commands of the same turn of
the event loop. Otherwise commands wait until a message is answered, and then leave together. So batches grow
with the load, and a lone command waits for no timer.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from contextvars import Context

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError, OutboundBufferLimitError

from ..contract.envelope import read_replies
from ..contract.errors import NoResponders, NotExecuted, OutcomeUnknown, Refused
from .pending import Deadlines, PendingCommand
from .statistics import Statistics

MOST_COMMANDS = 128
# More than one, so that a worker has work while the next message travels. With 4, batches are half as large:
# a booking costs its client a quarter more CPU time, and its worker half as much again.
MOST_IN_FLIGHT = 2
# A message without an answer after this time no longer delays further messages.
SLOW_SECONDS = 0.02
UNREACHABLE = "The message queue cannot be reached; nothing was done"


async def request(
    connection: Client, subject: str, payload: bytes, seconds: float, headers: dict[str, str] | None = None
) -> tuple[bytes, Mapping[str, str]]:
    """Send a message, and wait for its answer for at most `seconds`.

    Returns:
        The payload and the headers of the answer.

    Raises:
        NoResponders: the message reached no worker.
        NotExecuted: the message cannot reach a worker, because the connection is permanently closed.
        OutcomeUnknown: no answer came.
    """
    if connection.is_closed:
        raise NotExecuted(UNREACHABLE)
    if not connection.is_connected:
        raise NoResponders(UNREACHABLE)
    try:
        message = await connection.request(subject, payload, timeout=seconds, headers=headers)
    except NoRespondersError:
        raise NoResponders from None
    except OutboundBufferLimitError:
        raise NoResponders(UNREACHABLE) from None
    except NatsError:
        raise OutcomeUnknown from None
    return message.data, message.headers or {}


class Batches:
    """The commands for one subject. They travel together, and every command has its own answer.

    `prefix`: what precedes the subject for this user of NATS.
    """

    def __init__(self, connection: Client, subject: str, statistics: Statistics, *, prefix: str = "") -> None:
        self._connection = connection
        self.subject = subject
        self._address = prefix + subject
        self._statistics = statistics
        self._queue: deque[PendingCommand] = deque()
        self._deadlines = Deadlines()
        self._in_flight: set[object] = set()
        self._about_to_send = False
        self._sending: set[asyncio.Task[None]] = set()

    def send(
        self,
        command: bytes,
        seconds: float,
        asked_at: int,
        *,
        listen: float,
        request_id: str | None = None,
        caller: bytes | None = None,
        first: bool = False,
        wakes: bool = False,
    ) -> PendingCommand:
        """Queue a command for the next batch; arguments as for `PendingCommand`.

        Returns:
            The pending command, whose `answer` may be cancelled. `answer` is NoResponders if the command
            reached no worker, Overloaded if it was not sent within `seconds`, OutcomeUnknown if no answer
            came.
        """
        pending = PendingCommand(
            command,
            seconds,
            asked_at,
            listen=listen,
            request_id=request_id,
            caller=caller,
            first=first,
            wakes=wakes,
        )
        self._queue.append(pending)
        self._deadlines.add(pending)
        self._send_soon()
        return pending

    def _send_soon(self) -> None:
        if self._queue and not self._about_to_send and len(self._in_flight) < MOST_IN_FLIGHT:
            self._about_to_send = True
            # An empty context: the batch must not log with the context of the caller that started the task.
            task = asyncio.create_task(self._send(), context=Context())
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self) -> None:
        self._about_to_send = False
        batch = self._take()
        if not batch:
            return
        self._statistics.batches[self.subject, len(batch)] += 1
        message = object()
        self._in_flight.add(message)
        self._send_soon()
        slow = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._leave_flight, message)
        try:
            now = asyncio.get_running_loop().time()
            seconds = max(pending.listens_until for pending in batch) - now
            payload = b'{"commands":[%b]}' % b",".join(pending.item for pending in batch)
            answer = await request(self._connection, self._address, payload, seconds)
            for pending, envelope in zip(batch, read_replies(*answer, len(batch)), strict=True):
                pending.end(envelope)
        except Refused as refused:
            for pending in batch:
                pending.end(type(refused)(refused.text))
        finally:
            slow.cancel()
            self._leave_flight(message)

    def _take(self) -> list[PendingCommand]:
        """Take the next batch: at most half of NATS's payload, so that the answers fit into one message."""
        batch: list[PendingCommand] = []
        room = self._connection.max_payload // 2
        while self._queue and len(batch) < MOST_COMMANDS:
            pending = self._queue[0]
            if not pending.answer.done():
                room -= len(pending.item)
                if batch and room < 0:
                    break
                pending.sent = True
                batch.append(pending)
            self._queue.popleft()
        return batch

    def _leave_flight(self, message: object) -> None:
        """Stop counting a message as in flight, and send the next batch."""
        self._in_flight.discard(message)
        self._send_soon()
