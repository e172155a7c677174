"""The latency of a booking while many readers list a month.

python -m tests.bench.readers --seconds 10 --readers 200

The load runs on a separate stack with real servers and a thousand appointments in the month. One caller books
alone, and then while the readers load: they request the first page in a loop, and obey `Retry-After`.
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
    """A minimal HTTP client on one kept-alive connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []

    async def ask(self, make: Callable[[int], bytes], ends: float) -> None:
        """Send requests in a loop until `ends`; after a refusal, wait for its `Retry-After`."""
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
    """Return the request for the first page of the month."""
    begin, end = (day.isoformat().replace("+00:00", "Z") for day in (FIRST, FIRST + timedelta(days=31)))
    return f"GET /api/appointments?from={begin}&to={end} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


def book_from(first: int) -> Callable[[int], bytes]:
    """Return a function that makes bookings in another site; every booking has a slot of its own."""

    def make(number: int) -> bytes:
        slot = (FIRST + (first + number) * CELL).isoformat()
        body = f'{{"site":"others","slot":"{slot}","patientName":"Ada Lovelace"}}'
        head = f"Host: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        return f"POST /api/book-appointment HTTP/1.1\r\n{head}\r\n\r\n{body}".encode()

    return make


async def measure(stack: Stack, number_of_readers: int, seconds: float, console: Console) -> None:
    port = int(stack.url.rpartition(":")[2])
    alone, beside, readers = Caller(port), Caller(port), [Caller(port) for _ in range(number_of_readers)]
    await Caller(port).ask(book_from(0), time.monotonic() + 2)
    await alone.ask(book_from(100_000), time.monotonic() + seconds)
    before = _cpu(stack)
    ends = time.monotonic() + seconds
    reading = [reader.ask(read, ends) for reader in readers]
    await asyncio.gather(beside.ask(book_from(200_000), ends), *reading)
    used = _cpu(stack) - before
    statuses: Counter[int] = sum((reader.statuses for reader in readers), Counter())
    for name, caller in (("alone", alone), ("beside readers", beside)):
        latencies = sorted(caller.seconds)
        p50, p99 = statistics.median(latencies) * 1000, latencies[len(latencies) * 99 // 100] * 1000
        console.print(f"bookings {name}: median {p50:.1f} ms, p99 {p99:.1f} ms, {dict(caller.statuses)}")
    pages = statuses[200]
    console.print(f"{len(readers)} readers: {dict(statuses)}; {pages / seconds:.0f} pages a second")
    console.print(f"CPU of booking workers: {used / max(pages, 1) * 1000:.1f} ms a page, bookings included")


def _cpu(stack: Stack) -> float:
    """Return the CPU seconds of the booking workers."""
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
