"""Many commands in one message: what a message costs is paid once for all of them.

A command that finds few messages under way leaves at once, by itself or with those that were asked for in the
same turn of the event loop. The others wait for an answer, and then leave together. So batches grow with
the load, by themselves, and there is no timer that a lone caller would have to wait for.
"""

import asyncio
from collections import deque
from contextvars import Context

from nats.aio.client import Client

from ..contract.deadline import Deadline
from ..contract.envelope import Envelope, read_replies
from ..contract.errors import Overloaded, Refused
from .requests import request
from .statistics import Statistics

MOST_COMMANDS = 128
# More than one, so that several workers have something to do, and each while the next message is on its way.
MOST_UNDER_WAY = 4
# A message that is not answered by then does not keep others waiting any more.
SLOW_SECONDS = 0.02


class Batches:
    """Commands for one subject, which travel together and are answered each by itself."""

    def __init__(self, connection: Client, subject: str, statistics: Statistics) -> None:
        self._connection = connection
        self._subject = subject
        self._statistics = statistics
        self._waiting: deque[_Waiting] = deque()
        self._under_way: set[object] = set()
        self._about_to_send = False
        self._sending: set[asyncio.Task[None]] = set()

    def send(
        self,
        command: bytes,
        seconds: float,
        asked_at: int,
        request_id: str | None,
        *,
        listen: float,
        first: bool = False,
    ) -> asyncio.Future[Envelope | Refused]:
        """Send a command (JSON) that may be started within `seconds`; its answer comes within `listen`.

        `asked_at` is when its caller asked (Unix ms), the same in all attempts.
        `first` says that it was never sent before.

        Returns:
            The answer; NobodyThere if the command reached no worker, Overloaded if it was not sent within
            `seconds`, OutcomeUnknown if no answer came. It may be cancelled.
        """
        waiting = _Waiting(command, seconds, asked_at, request_id, listen=listen, first=first)
        self._waiting.append(waiting)
        self._send_soon()
        return waiting.outcome

    def _send_soon(self) -> None:
        if self._waiting and not self._about_to_send and len(self._under_way) < MOST_UNDER_WAY:
            self._about_to_send = True
            # In a context of its own, not in that of the caller who happened to come first.
            task = asyncio.create_task(self._send(), context=Context())
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self) -> None:
        self._about_to_send = False
        batch = self._take()
        if not batch:
            return
        self._statistics.batches[self._subject, len(batch)] += 1
        message = object()
        self._under_way.add(message)
        self._send_soon()
        slow = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._wait_no_longer_for, message)
        try:
            now = asyncio.get_running_loop().time()
            seconds = max(waiting.listens_until for waiting in batch) - now
            payload = b'{"commands":[%b]}' % b",".join(waiting.item for waiting in batch)
            answer = await request(self._connection, self._subject, payload, seconds)
            for waiting, envelope in zip(batch, read_replies(*answer, len(batch)), strict=True):
                waiting.end(envelope)
        except Refused as refused:
            for waiting in batch:
                waiting.end(type(refused)(refused.text))
        finally:
            slow.cancel()
            self._wait_no_longer_for(message)

    def _take(self) -> list["_Waiting"]:
        """Those that leave together: so many, and so long that the answers fit into one message too."""
        batch: list[_Waiting] = []
        room = self._connection.max_payload // 2
        while self._waiting and len(batch) < MOST_COMMANDS:
            if not self._waiting[0].outcome.done():
                room -= len(self._waiting[0].item)
                if batch and room < 0:
                    break
                self._waiting[0].timer.cancel()
                batch.append(self._waiting[0])
            self._waiting.popleft()
        return batch

    def _wait_no_longer_for(self, message: object) -> None:
        self._under_way.discard(message)
        self._send_soon()


class _Waiting:
    """A command whose caller waits."""

    def __init__(
        self,
        command: bytes,
        seconds: float,
        asked_at: int,
        request_id: str | None,
        *,
        listen: float,
        first: bool,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.listens_until = loop.time() + listen
        named = b'"requestId":"%b",' % request_id.encode() if request_id else b""
        said = b'"first":true,' if first else b""
        sent = Deadline.after(seconds).unix_ms, asked_at, named, said, command
        self.item = b'{"deadline":%d,"askedAt":%d,%b%b"command":%b}' % sent
        self.outcome: asyncio.Future[Envelope | Refused] = loop.create_future()
        self.timer = loop.call_later(seconds, self.end, Overloaded())

    def end(self, outcome: Envelope | Refused) -> None:
        if not self.outcome.done():  # its caller may have gone
            self.outcome.set_result(outcome)
