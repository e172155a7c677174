"""The time from the 201 of a booking until a thousand open pages have its change.

python -m tests.bench.live --pages 1000 --bookings 20

All pages watch one window of one gateway, on a separate stack with real servers and a relay. One caller
books; the next booking begins after every page has the change. The pages share this process.
"""

import argparse
import asyncio
import statistics
import time
from functools import partial

import httpx
import psutil
import uvloop
from rich.console import Console

from tests.servers import choose_servers
from tests.stack import Stack

DAY = "from=2031-05-04T00:00:00Z&to=2031-05-05T00:00:00Z"
RELAY = "booking_worker.events"
WAIT_SECONDS = 20.0


class Pages:
    """The pages, which note when a change reaches each of them."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.opened = 0
        self.reached: list[float] = []
        self.all_reached = asyncio.Event()
        self.all_opened = asyncio.Event()

    async def open(self, host: str, port: int) -> None:
        """Open all pages, and wait until each has its snapshot."""
        loop = asyncio.get_running_loop()
        for _ in range(self.number):
            transport, _protocol = await loop.create_connection(partial(_Page, self), host, port)
            transport.write(f"GET /api/live?site=bench&{DAY} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        async with asyncio.timeout(WAIT_SECONDS):
            await self.all_opened.wait()

    def note(self, data: bytes) -> None:
        if b"event: changes" in data:
            self.reached.append(time.perf_counter())
            if len(self.reached) == self.number:
                self.all_reached.set()
        elif b"event: snapshot" in data:
            self.opened += 1
            if self.opened == self.number:
                self.all_opened.set()


class _Page(asyncio.Protocol):
    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def data_received(self, data: bytes) -> None:
        self._pages.note(data)


async def measure(stack: Stack, number: int, bookings: int, console: Console) -> None:
    gateway = psutil.Process(stack.services[0].process.pid)
    pages = Pages(number)
    async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
        before = gateway.memory_info().rss
        await pages.open(client.base_url.host, client.base_url.port or 0)
        memory = (gateway.memory_info().rss - before) / number / 1024
        seconds, last = list[float](), list[float]()
        for booking in range(bookings):
            pages.reached.clear()
            pages.all_reached.clear()
            minute = booking * 5
            body = {"site": "bench", "slot": f"2031-05-04T{minute // 60:02}:{minute % 60:02}:00Z"}
            answer = await client.post("/api/book-appointment", json={**body, "patientName": "Ada"})
            confirmed = time.perf_counter()
            assert answer.status_code == 201, answer.text
            async with asyncio.timeout(WAIT_SECONDS):
                await pages.all_reached.wait()
            seconds += (reached - confirmed for reached in pages.reached)
            last.append(pages.reached[-1] - confirmed)
    latencies = sorted(seconds)
    p50, p99 = statistics.median(latencies) * 1000, latencies[len(latencies) * 99 // 100] * 1000
    console.print(
        f"{number} pages, {bookings} bookings: from the 201 to a page, median {p50:.0f} ms, p99 {p99:.0f} ms"
    )
    console.print(f"from the 201 to the last page, median {statistics.median(last) * 1000:.0f} ms")
    console.print(f"memory of the gateway: {memory:.0f} KB a stream")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.live",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pages", type=int, default=1000, help="(default: 1000)")
    parser.add_argument("--bookings", type=int, default=20, help="(default: 20)")
    arguments = parser.parse_args()
    with choose_servers() as servers, servers.new_stack() as stack:
        stack.start_gateway()
        stack.start("booking_worker")
        stack.start("hold_worker")
        stack.start(RELAY)
        stack.wait_ready()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(measure(stack, arguments.pages, arguments.bookings, Console(width=120)))


if __name__ == "__main__":
    main()
