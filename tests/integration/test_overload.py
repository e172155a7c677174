"""Workers that get more commands than they may have in flight."""

import asyncio
import json
import signal
from collections import Counter

import nats
from nats.aio.msg import Msg

from shared.client.command_client import CommandClient
from shared.contract.operations import BOOK, BOOKING_READY
from shared.process.nats_wire import round_trip
from shared.worker.in_flight import MOST_IN_FLIGHT
from tests.bench.flood import Flood
from tests.integration.breakable import until
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Service, Stack


async def test_commands_over_the_limit_are_refused_and_answered(servers: Servers) -> None:
    """Commands over a worker's limit in flight get 503, and no command stays unanswered."""
    with servers.new_stack(REQUEST_TIMEOUT_SECONDS="60") as stack:
        stack.start("booking_worker", without="slow_store")
        stack.wait_serving()
        async with Flood.connect(stack.env["NATS_URL"], BOOK.subject, deadline=60) as flood:
            answers = await flood.send_at(5 * MOST_IN_FLIGHT, 1, book_fresh)
            again = await flood.send_at(3, 1, book_fresh)
    assert answers.unanswered == 0
    assert answers.statuses[503] >= 3 * MOST_IN_FLIGHT
    assert answers.no_responders > answers.statuses[503] / 2, "NATS itself refuses most of them"
    assert 0 < answers.statuses[201] <= 2 * MOST_IN_FLIGHT
    assert again.statuses == {201: again.sent}


async def send_to_paused(stack: Stack, worker: Service, *signals: signal.Signals) -> Counter[int]:
    """Send four times the limit of commands to a paused worker, then signals; return the statuses."""
    sent, statuses, all_answered = 4 * MOST_IN_FLIGHT, Counter[int](), asyncio.Event()

    async def count(message: Msg) -> None:
        statuses[json.loads(message.data)["status"] if message.data else 503] += 1  # or `no responders`
        if statuses.total() == sent:
            all_answered.set()

    async with await nats.connect(stack.env["NATS_URL"]) as connection:
        inbox = connection.new_inbox()
        await connection.subscribe(inbox, cb=count)
        worker.send(signal.SIGSTOP)
        try:
            for number in range(sent):
                await connection.publish(BOOK.subject, book_fresh(number), inbox)
            await round_trip(connection)
        finally:
            for name in (*signals, signal.SIGCONT):
                worker.send(name)
        await asyncio.wait_for(all_answered.wait(), 60)
    return statuses


async def test_a_burst_that_nats_lets_through_is_refused_by_the_worker(servers: Servers) -> None:
    """A worker that resumes takes only as many waiting commands as it has room for; the rest get 503."""
    with servers.new_stack(REQUEST_TIMEOUT_SECONDS="60") as stack:
        worker = stack.start("booking_worker", without="slow_store")
        stack.wait_serving()
        statuses = await send_to_paused(stack, worker)
    assert set(statuses) == {201, 503}
    assert statuses[201] < 2 * MOST_IN_FLIGHT


async def test_an_overloaded_worker_is_ready(servers: Servers) -> None:
    """An overloaded worker answers that it is ready, for it must not be restarted."""
    with servers.new_stack(REQUEST_TIMEOUT_SECONDS="60") as stack:
        worker = stack.start("booking_worker", without="slow_store")
        stack.wait_serving()
        burst = asyncio.create_task(send_to_paused(stack, worker))
        await until(lambda: "overloaded" in worker.log, "the worker is overloaded")
        async with CommandClient(stack.env["NATS_URL"]) as client:
            answers = await client.readiness.ask_workers(
                BOOKING_READY.subject, seconds=10, enough=lambda _: True
            )
        assert [answer.ready for answer in answers] == [True]
        await burst


async def test_a_worker_that_is_stopped_in_a_burst_answers_all_of_it(servers: Servers) -> None:
    """A worker that gets SIGTERM books or refuses every command that waits in its connection."""
    with servers.new_stack(REQUEST_TIMEOUT_SECONDS="60") as stack:
        worker = stack.start("booking_worker")
        stack.wait_serving()
        statuses = await send_to_paused(stack, worker, signal.SIGTERM)
        assert worker.wait() == 0
    assert set(statuses) == {201, 503}


def book_fresh(_number: int) -> bytes:
    return json.dumps(fresh()).encode()
