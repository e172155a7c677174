"""Many commands in one message: what a message costs is paid once for all of them.

A command that finds few messages under way leaves at once, by itself or with those that were asked for in the
same turn of the event loop. The others wait for an answer, and then leave together. So batches grow with
the load, by themselves, and there is no timer that a lone caller would have to wait for.
"""

import asyncio
from collections import deque
from contextvars import Context

from nats.aio.client import Client

from ..contract.envelope import read_replies
from ..contract.errors import Refused
from .requests import request
from .statistics import Statistics
from .waiting import Deadlines, Waiting

MOST_COMMANDS = 128
# More than one, so that a worker has something to do while the next message is on its way. With 4, batches
# are half as large: a booking costs its client a quarter more CPU time, and its worker half as much again.
MOST_UNDER_WAY = 2
# A message that is not answered by then does not keep others waiting any more.
SLOW_SECONDS = 0.02


class Batches:
    """Commands for one subject, which travel together and are answered each by itself."""

    def __init__(self, connection: Client, subject: str, statistics: Statistics) -> None:
        self._connection = connection
        self.subject = subject
        self._statistics = statistics
        self._waiting: deque[Waiting] = deque()
        self._deadlines = Deadlines()
        self._under_way: set[object] = set()
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
        first: bool = False,
        wakes: bool = False,
    ) -> Waiting:
        """Send a command (JSON) that may be started within `seconds`; its answer comes within `listen`.

        `asked_at` is when its caller asked (Unix ms), the same in all attempts.
        `first` says that it was never sent before. `wakes`: as `Waiting` says.

        Returns:
            What has the future answer: NoResponders if the command reached no worker, Overloaded if it was
            not sent within `seconds`, OutcomeUnknown if no answer came. It may be cancelled.
        """
        waiting = Waiting(
            command, seconds, asked_at, listen=listen, request_id=request_id, first=first, wakes=wakes
        )
        self._waiting.append(waiting)
        self._deadlines.add(waiting)
        self._send_soon()
        return waiting

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
        self._statistics.batches[self.subject, len(batch)] += 1
        message = object()
        self._under_way.add(message)
        self._send_soon()
        slow = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._wait_no_longer_for, message)
        try:
            now = asyncio.get_running_loop().time()
            seconds = max(waiting.listens_until for waiting in batch) - now
            payload = b'{"commands":[%b]}' % b",".join(waiting.item for waiting in batch)
            answer = await request(self._connection, self.subject, payload, seconds)
            for waiting, envelope in zip(batch, read_replies(*answer, len(batch)), strict=True):
                waiting.end(envelope)
        except Refused as refused:
            for waiting in batch:
                waiting.end(type(refused)(refused.text))
        finally:
            slow.cancel()
            self._wait_no_longer_for(message)

    def _take(self) -> list[Waiting]:
        """Those that leave together: so many, and so long that the answers fit into one message too."""
        batch: list[Waiting] = []
        room = self._connection.max_payload // 2
        while self._waiting and len(batch) < MOST_COMMANDS:
            waiting = self._waiting[0]
            if not waiting.answer.done():
                room -= len(waiting.item)
                if batch and room < 0:
                    break
                waiting.sent = True
                batch.append(waiting)
            self._waiting.popleft()
        return batch

    def _wait_no_longer_for(self, message: object) -> None:
        self._under_way.discard(message)
        self._send_soon()
