"""What a booking waits beside many readers of a month.

python -m tests.bench.readers --seconds 10 --readers 200

A stack of its own on real servers, with a thousand appointments in the month. One caller books alone, then
beside the readers: each reads the first page again and again, and waits as long as `Retry-After` says.
"""

import argparse
import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import islice
from typing import Any

import psutil
from pymongo import MongoClient
from rich.console import Console

from shared.stores.mongo.bookings import COLLECTION
from tests.bench.slots import CELL, first_slot
from tests.bench.stored import insert, rows
from tests.servers import choose_servers
from tests.stack import Stack

FIRST = first_slot()
ROWS = 1000


class Caller:
    """A connection of HTTP that is kept: as cheap as one can be."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []

    async def ask(self, make: Callable[[int], bytes], ends: float) -> None:
        """Ask again and again; what is refused, after as long as the answer says."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
        number = 0
        while (began := time.monotonic()) < ends:
            writer.write(make(number))
            head = await reader.readuntil(b"\r\n\r\n")
            headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            await reader.readexactly(int(headers[b"content-length"]))
            self.seconds.append(time.monotonic() - began)
            self.statuses[int(head.split(b" ", 2)[1])] += 1
            if pause := headers.get(b"retry-after"):
                await asyncio.sleep(float(pause))
            number += 1
        writer.close()


def read(number: int) -> bytes:
    """The month's first page."""
    begin, end = (each.isoformat().replace("+00:00", "Z") for each in (FIRST, FIRST + timedelta(days=31)))
    return f"GET /api/appointments?from={begin}&to={end} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


def book_from(first: int) -> Callable[[int], bytes]:
    """Bookings of slots that nobody else asks for, in another site."""

    def make(number: int) -> bytes:
        slot = (FIRST + (first + number) * CELL).isoformat()
        body = f'{{"site":"others","slot":"{slot}","patientName":"Ada Lovelace"}}'
        head = f"Host: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        return f"POST /api/book-appointment HTTP/1.1\r\n{head}\r\n\r\n{body}".encode()

    return make


async def measure(stack: Stack, readers: int, seconds: float, console: Console) -> None:
    port = int(stack.url.rpartition(":")[2])
    alone, beside, others = Caller(port), Caller(port), [Caller(port) for _ in range(readers)]
    await Caller(port).ask(book_from(0), time.monotonic() + 2)
    await alone.ask(book_from(100_000), time.monotonic() + seconds)
    before = _cpu(stack)
    ends = time.monotonic() + seconds
    asking = [each.ask(read, ends) for each in others]
    await asyncio.gather(beside.ask(book_from(200_000), ends), *asking)
    used = _cpu(stack) - before
    statuses: Counter[int] = sum((each.statuses for each in others), Counter())
    for name, caller in (("alone", alone), ("beside", beside)):
        took = sorted(caller.seconds)
        p50, p99 = statistics.median(took) * 1000, took[len(took) * 99 // 100] * 1000
        console.print(f"bookings {name}: median {p50:.1f} ms, p99 {p99:.1f} ms, {dict(caller.statuses)}")
    pages = statuses[200]
    console.print(f"{readers} readers: {dict(statuses)}; {pages / seconds:.0f} pages a second")
    console.print(f"CPU of booking workers: {used / max(pages, 1) * 1000:.1f} ms a page, all else included")


def _cpu(stack: Stack) -> float:
    """Seconds of the booking workers."""
    workers = stack.workers("booking_worker")
    return sum(sum(psutil.Process(each.process.pid).cpu_times()[:2]) for each in workers)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.readers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement (default: 10)")
    parser.add_argument("--readers", type=int, default=200, help="(default: 200)")
    arguments = parser.parse_args()
    with choose_servers() as servers, servers.new_stack() as stack:
        stack.up()
        with MongoClient[dict[str, Any]](stack.env["MONGO_URI"]) as client:
            insert(client.get_default_database()[COLLECTION], islice(rows(FIRST, CELL), ROWS))
        asyncio.run(measure(stack, arguments.readers, arguments.seconds, Console(width=120)))


if __name__ == "__main__":
    main()
