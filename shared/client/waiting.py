"""Attempts whose callers wait. One timer serves all of their deadlines: few attempts live that long."""

import asyncio
from heapq import heappop, heappush
from itertools import count

from ..contract.asked_at import unix_ms_now
from ..contract.envelope import Envelope
from ..contract.errors import OutcomeUnknown, Overloaded, Refused


class Waiting:
    """An attempt of a batched command: `item` is what a message carries for it.

    `answer` is Overloaded if it was not sent by its deadline. With `wakes` it is OutcomeUnknown if it was
    sent but not answered by then; from then on `answer` is another future, for a late answer.
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
        first: bool,
        wakes: bool,
    ) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._wakes = wakes
        now = loop.time()
        self.deadline = now + seconds
        self.listens_until = now + listen
        self.sent = False
        named = b'"requestId":"%b",' % request_id.encode() if request_id else b""
        said = b'"first":true,' if first else b""
        until = unix_ms_now() + int(seconds * 1000)
        self.item = b'{"deadline":%d,"askedAt":%d,%b%b"command":%b}' % (until, asked_at, named, said, command)
        self.answer: asyncio.Future[Envelope | Refused] = loop.create_future()

    def end(self, outcome: Envelope | Refused) -> None:
        """Answer the caller, if it still waits."""
        if not self.answer.done():
            self.answer.set_result(outcome)

    def time_is_up(self) -> None:
        """Wake the caller at the deadline."""
        if not self.sent:
            self.end(Overloaded())
        elif self._wakes:
            answer, self.answer = self.answer, self._loop.create_future()
            answer.set_result(OutcomeUnknown())


class Deadlines:
    """Wakes those who were not answered by their deadlines."""

    def __init__(self) -> None:
        self._open: list[tuple[float, int, Waiting]] = []
        """A heap by deadline; some of them are answered."""
        self._numbers = count()  # of two with the same deadline the earlier is first
        self._timer: asyncio.Handle | None = None
        self._due = 0.0  # when the timer is due; uvloop's handle for a time that is over does not say it

    def add(self, waiting: Waiting) -> None:
        """Watch one more."""
        self._forget_answered()
        heappush(self._open, (waiting.deadline, next(self._numbers), waiting))
        if self._timer is not None and waiting.deadline < self._due:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._set_timer()

    def _forget_answered(self) -> None:
        while self._open and self._open[0][2].answer.done():
            heappop(self._open)

    def _set_timer(self) -> None:
        self._due = self._open[0][0]
        self._timer = asyncio.get_running_loop().call_at(self._due, self._wake)

    def _wake(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._open and self._open[0][0] <= now:
            _, _, waiting = heappop(self._open)
            if not waiting.answer.done():
                waiting.time_is_up()
        self._forget_answered()
        if self._open:
            self._set_timer()
