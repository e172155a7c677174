"""A fast load generator over NATS: the protocol by hand, many times cheaper than a client library.

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
    """The answers by status; NATS's own `no responders` also counts as 503."""

    statuses: Counter[int] = field(default_factory=Counter)
    """Without late successes."""
    no_responders: int = 0
    late: int = 0
    """Successes after the deadline, when a caller has given up."""
    unanswered: int = 0
    seconds: list[float] = field(default_factory=list)
    """Latencies of the successes."""

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
        batch_size: int,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._deadline = deadline
        self._subject = subject.encode()
        self._batch_size = batch_size
        self._numbers, self._made = count(), count()
        self._in_flight: dict[int, tuple[int, float]] = {}
        """The number of commands and the send time of each message, by its number."""
        self._commands_in_flight = 0
        self._answered = asyncio.Event()
        self._answers = Answers()

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, url: str, subject: str, *, deadline: float = DEADLINE_SECONDS, batch_size: int = 0
    ) -> AsyncIterator[Self]:
        """Connect to the NATS server at `url`; every command has `deadline` seconds.

        `batch_size` is the maximum number of commands in a batch; with 0 every command is sent alone.
        """
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**20)
        writer.write(f"CONNECT {json.dumps(_CONNECT)}\r\nSUB inbox.* 1\r\n".encode())
        flood = cls(reader, writer, subject, deadline, batch_size)
        reading = asyncio.create_task(flood._read())
        try:
            yield flood
        finally:
            reading.cancel()
            writer.close()

    async def keep_in_flight(self, commands: int, seconds: float, make: Make) -> Answers:
        """Run a closed loop: send as answers arrive, with at most `commands` in flight."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self._send(commands - self._commands_in_flight, make)
            self._answered.clear()
            await asyncio.wait_for(self._answered.wait(), self._deadline * 4)
        return await self._settle()

    async def send_at(self, rate: float, seconds: float, make: Make) -> Answers:
        """Run an open loop: send `rate` commands a second, as independent callers do.

        If this process gets too little CPU time for the rate, it sends fewer commands. Otherwise it would
        read timely answers too late.
        """
        began, sent = time.monotonic(), 0
        while (passed := time.monotonic() - began) < seconds:
            due = min(int(passed * rate) - sent, MOST_AT_ONCE)
            self._send(due, make)
            sent += due
            await asyncio.sleep(0 if due == MOST_AT_ONCE else TICK_SECONDS)
        return await self._settle()

    async def _settle(self) -> Answers:
        """Wait for the outstanding answers, and return all of them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._deadline + SETTLE_SECONDS):
                while self._in_flight:
                    self._answered.clear()
                    await self._answered.wait()
        answers, self._answers = self._answers, Answers()
        answers.unanswered, self._commands_in_flight = self._commands_in_flight, 0
        self._in_flight.clear()
        return answers

    def _send(self, commands: int, make: Make) -> None:
        unix_ms = int((time.time() + self._deadline) * 1000)
        headers = b"NATS/1.0\r\nDeadline: %d\r\n\r\n" % unix_ms
        parts = []
        for first in range(0, commands, self._batch_size or 1):
            number, size = next(self._numbers), min(self._batch_size or 1, commands - first)
            made = [make(next(self._made)) for _ in range(size)]
            commands_of_batch = b",".join(b'{"command":%b}' % command for command in made)
            payload = b'{"commands":[%b]}' % commands_of_batch if self._batch_size else made[0]
            sizes = len(headers), len(headers) + len(payload)
            parts.append(
                b"HPUB %b inbox.%d %d %d\r\n%b%b\r\n" % (self._subject, number, *sizes, headers, payload)
            )
            self._in_flight[number] = size, time.monotonic()
            self._commands_in_flight += size
        self._writer.write(b"".join(parts))

    async def _read(self) -> None:
        while line := await self._reader.readline():
            verb, *arguments = line.split()
            if verb == b"PING":
                self._writer.write(b"PONG\r\n")
            elif verb in (b"MSG", b"HMSG"):
                header_size = int(arguments[-2]) if verb == b"HMSG" else 0
                content = await self._reader.readexactly(int(arguments[-1]) + 2)
                self._receive(int(arguments[0].rpartition(b".")[2]), content[header_size:-2])

    def _receive(self, number: int, body: bytes) -> None:
        size, began = self._in_flight.pop(number, (0, 0.0))
        self._commands_in_flight -= size
        statuses = [int(status) for status in _STATUS.findall(body)] or [503]
        if len(statuses) < size:  # one answer for the whole batch
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
