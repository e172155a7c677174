"""The CPU time of a worker that finds a month of free slots among a thousand bookings.

python -m tests.bench.free_slots --answers 50

One caller asks for the first page again and again, and nothing else loads the worker. The bookings are spread
over the month; starts are offered each five minutes, round the clock.
"""

import argparse
import asyncio
from datetime import timedelta
from itertools import islice
from typing import Any

import httpx
from pymongo import MongoClient
from rich.console import Console

from shared.contract.instants import format_instant
from shared.contract.schedule_fields import WEEKDAYS
from shared.stores.mongo.bookings import COLLECTION
from tests.bench.cpu import cpu_seconds
from tests.bench.slots import first_slot
from tests.bench.stored import insert, rows
from tests.servers import choose_servers
from tests.stack import Stack

FIRST = first_slot()
MONTH = timedelta(days=31)
ROWS, EACH = 1000, timedelta(minutes=44)
IDLE_SECONDS = 3.0
ALWAYS = {
    "title": "Always",
    "timeZone": "Europe/Berlin",
    "weekly": [{"days": list(WEEKDAYS), "from": "00:00", "to": "24:00"}],
    "stepMinutes": 5,
}


async def measure(stack: Stack, answers: int, console: Console) -> None:
    (worker,) = stack.workers("booking_worker")
    query = {"resource": "lee", "from": format_instant(FIRST), "to": format_instant(FIRST + MONTH)}
    async with httpx.AsyncClient(base_url=stack.url, timeout=20) as http:
        (await http.put("/api/schedules/default/lee", json=ALWAYS)).raise_for_status()
        free = len((await http.get("/api/free-slots", params=query)).json()["free"])
        before = cpu_seconds(worker.pid)
        await asyncio.sleep(IDLE_SECONDS)
        idle = (cpu_seconds(worker.pid) - before) / IDLE_SECONDS
        loop = asyncio.get_running_loop()
        before, began = cpu_seconds(worker.pid), loop.time()
        for _ in range(answers):
            (await http.get("/api/free-slots", params=query)).raise_for_status()
        used = cpu_seconds(worker.pid) - before - idle * (loop.time() - began)
    console.print(f"{free} free slots a page: {used / answers * 1000:.1f} ms of worker CPU an answer")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.free_slots",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--answers", type=int, default=50, help="(default: 50)")
    arguments = parser.parse_args()
    with choose_servers() as servers, servers.new_stack() as stack:
        stack.up(booking_workers=1)
        with MongoClient[dict[str, Any]](stack.env["MONGO_URI"]) as client:
            insert(client.get_default_database()[COLLECTION], islice(rows(FIRST, EACH, ["lee"]), ROWS))
        asyncio.run(measure(stack, arguments.answers, Console(width=120)))


if __name__ == "__main__":
    main()
