"""Commands that wait for their answers. One timer serves their deadlines, because few reach the deadline."""

import asyncio
from heapq import heappop, heappush
from itertools import count

from ..contract.asked_at import unix_ms_now
from ..contract.envelope import Envelope
from ..contract.errors import OutcomeUnknown, Overloaded, Refused


class PendingCommand:
    """One attempt of a command that travels in a batch, until it is answered.

    `item` is its JSON in the message. `answer` is Overloaded if the attempt was not sent by its deadline.
    With `wakes`, `answer` is OutcomeUnknown if the attempt was sent but not answered by its deadline; from
    then on, `answer` is another future, for a late answer.

    Args:
        command: JSON.
        seconds: the time until the deadline, after which no worker may start the command.
        asked_at: when the caller asked (Unix ms), the same in all attempts.
        listen: the time for an answer in seconds, which may be longer than `seconds`.
        request_id: hexadecimal digits and dashes, or None.
        caller: the JSON of the command's `Caller`, or None.
        first: whether no attempt of the command was sent before.
        wakes: whether `answer` ends at the deadline.
    """

    __slots__ = ("_loop", "_wakes", "answer", "deadline", "item", "listens_until", "sent")

    def __init__(
        self,
        command: bytes,
        seconds: float,
        asked_at: int,
        *,
        listen: float,
        request_id: str | None = None,
        caller: bytes | None = None,
        first: bool,
        wakes: bool,
    ) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._wakes = wakes
        now = loop.time()
        self.deadline = now + seconds
        self.listens_until = now + listen
        self.sent = False
        id_field = b'"requestId":"%b",' % request_id.encode() if request_id else b""
        first_field = b'"first":true,' if first else b""
        caller_field = b'"caller":%b,' % caller if caller else b""
        until = unix_ms_now() + int(seconds * 1000)
        self.item = b'{"deadline":%d,"askedAt":%d,%b%b%b"command":%b}' % (
            until,
            asked_at,
            id_field,
            first_field,
            caller_field,
            command,
        )
        self.answer: asyncio.Future[Envelope | Refused] = loop.create_future()

    def end(self, outcome: Envelope | Refused) -> None:
        """Set the answer, unless the caller has one or has cancelled it."""
        if not self.answer.done():
            self.answer.set_result(outcome)

    def reach_deadline(self) -> None:
        """End the attempt if it was not sent, or wake its caller."""
        if not self.sent:
            self.end(Overloaded())
        elif self._wakes:
            answer, self.answer = self.answer, self._loop.create_future()
            answer.set_result(OutcomeUnknown())


class Deadlines:
    """Calls `reach_deadline` of pending commands that are not answered by their deadlines."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, PendingCommand]] = []
        """By deadline. It may contain answered commands, except at its top."""
        self._numbers = count()  # orders commands with the same deadline
        self._timer: asyncio.Handle | None = None
        self._due = 0.0  # the time of the timer; uvloop's handle of a time in the past has no `when`

    def add(self, pending: PendingCommand) -> None:
        """Watch a pending command."""
        self._drop_answered()
        heappush(self._heap, (pending.deadline, next(self._numbers), pending))
        if self._timer is not None and pending.deadline < self._due:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._set_timer()

    def _drop_answered(self) -> None:
        while self._heap and self._heap[0][2].answer.done():
            heappop(self._heap)

    def _set_timer(self) -> None:
        self._due = self._heap[0][0]
        self._timer = asyncio.get_running_loop().call_at(self._due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._heap and self._heap[0][0] <= now:
            _, _, pending = heappop(self._heap)
            if not pending.answer.done():
                pending.reach_deadline()
        self._drop_answered()
        if self._heap:
            self._set_timer()
