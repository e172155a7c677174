"""A caller that is never too slow: NATS by hand, many times cheaper a command than any client library.

https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Self
from urllib.parse import urlsplit

DEADLINE_SECONDS = 1.6
TICK_SECONDS = 0.005
MOST_AT_ONCE = 250
SETTLE_SECONDS = 10.0
DONE = {200, 201}
_STATUS = re.compile(rb'\{"status":(\d{3}),"body"')
_CONNECT = {"headers": True, "no_responders": True, "verbose": False, "pedantic": False}

Make = Callable[[int], bytes]


@dataclass
class Answers:
    """What came back, by status (`no responders` from NATS itself counts as 503 too)."""

    statuses: Counter[int] = field(default_factory=Counter)
    """Without those that were done late."""
    no_responders: int = 0
    late: int = 0
    """Those done after the deadline, when their callers had given up."""
    unanswered: int = 0
    seconds: list[float] = field(default_factory=list)
    """How long each that was done took."""

    @property
    def sent(self) -> int:
        return self.statuses.total() + self.late + self.unanswered

    @property
    def in_time(self) -> int:
        return sum(self.statuses[status] for status in DONE)


class Flood:
    """Sends commands to one subject, and counts the answers."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        subject: str,
        deadline: float,
        together: int,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._deadline = deadline
        self._subject = subject.encode()
        self._together = together
        self._numbers, self._made = count(), count()
        self._under_way: dict[int, tuple[int, float]] = {}
        """Messages by their numbers: how many commands, and when they were sent."""
        self._commands_under_way = 0
        self._answered = asyncio.Event()
        self._answers = Answers()

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, url: str, subject: str, *, deadline: float = DEADLINE_SECONDS, together: int = 0
    ) -> AsyncIterator[Self]:
        """A connection of its own to the NATS server at `url`; each command has `deadline` seconds.

        `together`: how many commands go in one message of many, at most; 0 where each goes alone.
        """
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**20)
        writer.write(f"CONNECT {json.dumps(_CONNECT)}\r\nSUB inbox.* 1\r\n".encode())
        flood = cls(reader, writer, subject, deadline, together)
        reading = asyncio.create_task(flood._read())
        try:
            yield flood
        finally:
            reading.cancel()
            writer.close()

    async def keep_under_way(self, commands: int, seconds: float, make: Make) -> Answers:
        """Closed loop: as fast as answers come, never more than so many at once."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self._send(commands - self._commands_under_way, make)
            self._answered.clear()
            await asyncio.wait_for(self._answered.wait(), self._deadline * 4)
        return await self._settle()

    async def send_at(self, rate: float, seconds: float, make: Make) -> Answers:
        """Open loop: so many a second, whatever comes back, as independent callers do.

        Where this process gets too little time for that, it sends fewer: it must not be so busy with sending
        that it hears late what came in time.
        """
        began, sent = time.monotonic(), 0
        while (passed := time.monotonic() - began) < seconds:
            due = min(int(passed * rate) - sent, MOST_AT_ONCE)
            self._send(due, make)
            sent += due
            await asyncio.sleep(0 if due == MOST_AT_ONCE else TICK_SECONDS)
        return await self._settle()

    async def _settle(self) -> Answers:
        """Wait for the answers that are still to come."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._deadline + SETTLE_SECONDS):
                while self._under_way:
                    self._answered.clear()
                    await self._answered.wait()
        answers, self._answers = self._answers, Answers()
        answers.unanswered, self._commands_under_way = self._commands_under_way, 0
        self._under_way.clear()
        return answers

    def _send(self, commands: int, make: Make) -> None:
        unix_ms = int((time.time() + self._deadline) * 1000)
        headers = b"NATS/1.0\r\nDeadline: %d\r\n\r\n" % unix_ms
        parts = []
        for first in range(0, commands, self._together or 1):
            number, size = next(self._numbers), min(self._together or 1, commands - first)
            made = [make(next(self._made)) for _ in range(size)]
            each = b",".join(b'{"command":%b}' % command for command in made)
            payload = b'{"commands":[%b]}' % each if self._together else made[0]
            sizes = len(headers), len(headers) + len(payload)
            parts.append(
                b"HPUB %b inbox.%d %d %d\r\n%b%b\r\n" % (self._subject, number, *sizes, headers, payload)
            )
            self._under_way[number] = size, time.monotonic()
            self._commands_under_way += size
        self._writer.write(b"".join(parts))

    async def _read(self) -> None:
        while line := await self._reader.readline():
            verb, *arguments = line.split()
            if verb == b"PING":
                self._writer.write(b"PONG\r\n")
            elif verb in (b"MSG", b"HMSG"):
                header_size = int(arguments[-2]) if verb == b"HMSG" else 0
                content = await self._reader.readexactly(int(arguments[-1]) + 2)
                self._hear(int(arguments[0].rpartition(b".")[2]), content[header_size:-2])

    def _hear(self, number: int, body: bytes) -> None:
        size, began = self._under_way.pop(number, (0, 0.0))
        self._commands_under_way -= size
        statuses = [int(status) for status in _STATUS.findall(body)] or [503]
        if len(statuses) < size:  # one answer for all of them
            statuses *= size
        seconds = time.monotonic() - began
        for status in statuses[:size]:
            self._answers.no_responders += not body
            if status in DONE:
                self._answers.seconds.append(seconds)
            if status in DONE and seconds > self._deadline:
                self._answers.late += 1
            else:
                self._answers.statuses[status] += 1
        self._answered.set()
