"""The attempts that the client makes per booking, at a worker's capacity and at four times its capacity.

python -m tests.bench.attempts --seconds 5 --rounds 3

The booking worker commits batches of 32 bookings in a quarter of a second, four batches at a time, and
accepts 250 commands. So it can do 512 bookings a second, however busy the machine is. Callers book at a
steady rate.
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
    "of these\nreceived by\na worker",
)


@dataclass(frozen=True)
class Offered:
    """The results of requests at a steady rate, and of their attempts."""

    seconds: float
    statuses: Counter[int]
    attempts: Counter[str]
    """Attempts by their result."""

    def row(self, name: str) -> list[str]:
        requests, attempts = self.statuses.total(), self.attempts.total()
        received = attempts - self.attempts["no_responders"]
        return [
            name,
            str(requests),
            f"{self.statuses[201] / self.seconds:.0f}",
            *(f"{self.statuses[status] / requests:.0%}" for status in (503, 504)),
            *(f"{count / requests:.2f}" for count in (attempts, received)),
        ]


async def offer(url: str, rate: float, seconds: float) -> Offered:
    """Book free slots at this rate through a new client, and wait for all answers."""
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
        duration = time.monotonic() - began
    finally:
        await client.close()
    attempts = Counter[str]()
    for (_, result), count in client.statistics.attempts.items():
        attempts[result] += count
    return Offered(duration, statuses, attempts)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.attempts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="at both rates (default: 3)")
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
