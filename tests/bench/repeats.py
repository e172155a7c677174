"""How many attempts the client makes of a booking, where workers can do all that is asked, and where not.

python -m tests.bench.repeats --seconds 5 --rounds 3

A booking worker that writes 32 bookings at a time in a quarter of a second, four times at once, and has room
for 250 commands: it can do 512 a second, however busy the machine is. Callers come at a steady rate.
"""

import argparse
import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass

import structlog
from rich.console import Console
from rich.table import Table

from shared.client.command_client import CommandClient
from shared.contract.commands import BookAppointment
from shared.contract.errors import Refused
from shared.contract.operations import BOOK
from tests.servers import choose_servers
from tests.slots import fresh

CAPACITY = 512
FACTORS = (1, 4)
TICK_SECONDS = 0.01
HEADERS = (
    "",
    "requests",
    "201\n/s",
    "503\n%",
    "504\n%",
    "attempts\na request",
    "of these\nheard by\na worker",
)


@dataclass(frozen=True)
class Offered:
    """What became of requests that came at a rate, and of the attempts at them."""

    seconds: float
    statuses: Counter[int]
    attempts: Counter[str]
    """By what became of them."""

    def row(self, name: str) -> list[str]:
        requests, attempts = self.statuses.total(), self.attempts.total()
        heard = attempts - self.attempts["no_responders"]
        return [
            name,
            str(requests),
            f"{self.statuses[201] / self.seconds:.0f}",
            *(f"{self.statuses[status] / requests:.0%}" for status in (503, 504)),
            *(f"{count / requests:.2f}" for count in (attempts, heard)),
        ]


async def offer(url: str, rate: float, seconds: float) -> Offered:
    """So many bookings a second of free slots, by a client of their own; all answers are awaited."""
    client = CommandClient(url)
    await client.connect()
    statuses = Counter[int]()

    async def book() -> None:
        try:
            await client.send(BOOK, BookAppointment.model_validate(fresh()))
            statuses[201] += 1
        except Refused as refused:
            statuses[refused.status] += 1

    try:
        began, asked = time.monotonic(), list[asyncio.Task[None]]()
        while (passed := time.monotonic() - began) < seconds:
            asked += [asyncio.create_task(book()) for _ in range(int(passed * rate) - len(asked))]
            await asyncio.sleep(TICK_SECONDS)
        await asyncio.gather(*asked)
        took = time.monotonic() - began
    finally:
        await client.close()
    attempts = Counter[str]()
    for (_, became), count in client.statistics.attempts.items():
        attempts[became] += count
    return Offered(took, statuses, attempts)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.repeats",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="of each rate (default: 3)")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    table = Table(*HEADERS, box=None)
    with choose_servers() as servers, servers.new_stack() as stack:
        stack.start("booking_worker", without="small_worker")
        stack.wait_serving()
        for _ in range(arguments.rounds):
            for factor in FACTORS:
                offered = asyncio.run(offer(stack.env["NATS_URL"], factor * CAPACITY, arguments.seconds))
                table.add_row(*offered.row(f"{factor} x"))
    Console().print(table)


if __name__ == "__main__":
    main()
