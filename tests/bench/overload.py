"""The goodput of a booking worker or a hold worker under ten times its peak load.

python -m tests.bench.overload --seconds 5 --rounds 3
python -m tests.bench.overload --seconds 5 --rounds 3 --holds
python -m tests.bench.overload --seconds 5 --rounds 3 --many 64

The load runs on a separate stack with real servers. A round first measures the peak in a closed loop, and
then sends ten times the peak's rate in an open loop. Goodput counts the timely confirmations.
"""

import argparse
import asyncio
import statistics
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import psutil
from rich.console import Console
from rich.table import Table

from shared.contract.operations import BOOK, PLACE
from tests.bench.flood import Answers, Flood
from tests.bench.slots import CELL
from tests.servers import choose_servers
from tests.stack import Stack

HEADERS = (  # narrow, in the order of the fields of Round
    "",
    "offered\n/s",
    "goodput\n/s",
    "refused\n/s",
    "no re-\nsponders\n/s",
    "late\n/s",
    "un-\nanswered\n/s",
    "p50\nms",
    "p99\nms",
    "memory\nMB",
)
IN_FLIGHT = 256
FIRST = datetime(2031, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Round:
    """Counts per second, latencies in milliseconds, memory of the largest worker in MB."""

    name: str
    offered: float
    goodput: float
    refused: float
    no_responders: float
    late: float
    unanswered: float
    p50: float
    p99: float
    memory: float


def make(number: int) -> bytes:
    """Return a booking or hold command with a slot of its own."""
    slot = (FIRST + number * CELL).isoformat(timespec="milliseconds")
    return b'{"slot":"%b","patientName":"Ada","site":"%b"}' % (slot.encode(), RESOURCE)


RESOURCE = uuid4().hex.encode()


async def measure(
    stack: Stack, subject: str, seconds: float, rounds: int, factor: float, *, batch_size: int
) -> list[Round]:
    """Measure peak and overload in alternation."""
    measured = []
    async with Flood.connect(stack.env["NATS_URL"], subject, batch_size=batch_size) as flood:
        await flood.keep_in_flight(IN_FLIGHT, 2, make)
        for _ in range(rounds):
            peak = _figures("peak", await flood.keep_in_flight(IN_FLIGHT, seconds, make), seconds, stack)
            answers = await flood.send_at(peak.goodput * factor, seconds, make)
            measured += [peak, _figures(f"{factor:g} x", answers, seconds, stack)]
    return measured


def _figures(name: str, answers: Answers, seconds: float, stack: Stack) -> Round:
    latencies = sorted(answers.seconds) or [0.0]
    return Round(
        name=name,
        offered=answers.sent / seconds,
        goodput=answers.in_time / seconds,
        refused=(answers.statuses[503] - answers.no_responders) / seconds,
        no_responders=answers.no_responders / seconds,
        late=answers.late / seconds,
        unanswered=answers.unanswered / seconds,
        p50=latencies[len(latencies) // 2] * 1000,
        p99=latencies[len(latencies) * 99 // 100] * 1000,
        memory=max(psutil.Process(each.process.pid).memory_info().rss for each in stack.workers()) / 2**20,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.overload",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="of peak and overload (default: 3)")
    parser.add_argument("--factor", type=float, default=10.0, help="overload by this factor (default: 10)")
    parser.add_argument("--workers", type=int, default=1, help="of the measured kind (default: 1)")
    parser.add_argument("--holds", action="store_true", help="measure holds, not bookings")
    parser.add_argument("--many", type=int, default=0, help="commands in a batch (default: no batches)")
    arguments = parser.parse_args()
    module, single, many = (
        ("hold_worker", PLACE.subject, PLACE.many_subject)
        if arguments.holds
        else ("booking_worker", BOOK.subject, BOOK.many_subject)
    )
    load = many if arguments.many else single, arguments.seconds, arguments.rounds, arguments.factor
    with choose_servers() as servers, servers.new_stack() as stack:
        for _ in range(arguments.workers):
            stack.start(module)
        stack.wait_serving()
        measured = asyncio.run(measure(stack, *load, batch_size=arguments.many))
    table = Table(*HEADERS, box=None)
    for figures in measured:
        table.add_row(
            *(f"{value:.0f}" if isinstance(value, float) else value for value in vars(figures).values())
        )
    console = Console()
    console.print(table)
    peaks, floods = ([each.goodput for each in measured[turn::2]] for turn in (0, 1))
    ratio = statistics.median(flood / peak for peak, flood in zip(peaks, floods, strict=True))
    console.print(f"goodput under {arguments.factor:g} times the peak: {ratio:.0%} of the peak (median)")


if __name__ == "__main__":
    main()
