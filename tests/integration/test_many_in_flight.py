"""Batches in flight in a worker: it counts their commands, bounds them, and answers them all."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
import structlog
from nats.aio.client import Client
from nats.errors import NoRespondersError

from deploy.local.nats import Nats
from shared.contract.commands import BookAppointment
from shared.contract.envelope import Reply
from shared.contract.many import MOST_TOGETHER
from shared.contract.operations import BOOK
from shared.contract.replies import Readiness
from shared.process.nats_wire import round_trip
from shared.process.settings import NatsSettings
from shared.worker.attempts import Attempt
from shared.worker.broker import WorkerBroker
from shared.worker.dispatcher import Handler
from shared.worker.in_flight import MOST_IN_FLIGHT
from tests.integration.breakable import until
from tests.integration.many import alone, ask, ask_many, statuses
from tests.slots import fresh

DONE = Reply(Readiness(ready=True, checks={}))
LARGE = Reply(Readiness(ready=True, checks={"padding": "x" * 2**20}))
SLOW, FAILING, VERBOSE = "Slow", "Failing", "Verbose"


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[Nats]:
    with Nats(tmp_path) as server:
        yield server


@pytest.fixture
async def caller(nats_server: Nats) -> AsyncIterator[Client]:
    async with await nats.connect(nats_server.url) as connection:
        yield connection


class Worker:
    """A worker that finishes commands of the patient `Slow` only once `go_on` is set."""

    def __init__(self, server: Nats, *, timeout: float = 60) -> None:
        self.started = 0
        self.go_on, self.stop = asyncio.Event(), asyncio.Event()
        self._serving = asyncio.Event()
        settings = NatsSettings(nats_url=server.url, request_timeout_seconds=timeout)
        self._broker = WorkerBroker("test", settings, lambda: None)
        self.running = asyncio.create_task(self._run())

    async def _book(self, attempts: Sequence[Attempt[BookAppointment]]) -> list[Reply[Readiness] | Exception]:
        patients = [attempt.command.patientName for attempt in attempts]
        self.started += len(patients)
        if SLOW in patients:
            await self.go_on.wait()
        replies: dict[str, Reply[Readiness] | Exception] = {FAILING: RuntimeError(), VERBOSE: LARGE}
        return [replies.get(patient, DONE) for patient in patients]

    async def _run(self) -> None:
        async with self._broker.serve({BOOK: Handler(self._book, lambda reply: reply)}):
            self._serving.set()
            await self.stop.wait()

    @classmethod
    @asynccontextmanager
    async def serving(cls, server: Nats, *, timeout: float = 60) -> AsyncIterator["Worker"]:
        worker = cls(server, timeout=timeout)
        await worker._serving.wait()
        try:
            yield worker
        finally:
            worker.go_on.set()
            worker.stop.set()
            await worker.running


def send(caller: Client, *patients: str) -> asyncio.Task[list[dict[str, Any]]]:
    commands = alone(*(fresh(patient) for patient in patients))
    return asyncio.create_task(ask_many(caller, BOOK.many_subject, commands))


async def status_of(caller: Client, subject: str, message: object) -> int:
    """Return the status of the answer, or 503 if NATS itself refuses the message."""
    try:
        answer = await ask(caller, subject, message)
    except NoRespondersError:
        return 503
    status: int = answer["replies"][0]["status"] if "replies" in answer else answer["status"]
    return status


async def test_a_command_that_fails_is_unknown_alone(nats_server: Nats, caller: Client) -> None:
    """If one command of a batch fails, its outcome is unknown, and the rest are answered as usual."""
    async with Worker.serving(nats_server):
        with structlog.testing.capture_logs() as lines:
            replies = await send(caller, "Ada", FAILING, "Ada", FAILING)
    assert statuses(replies) == [200, 504, 200, 504]
    assert replies[1]["body"]["outcome"] == "unknown"
    assert [line["event"] for line in lines].count("command_failed") == 1


async def test_replies_larger_than_nats_allows_get_504(nats_server: Nats, caller: Client) -> None:
    """If the replies of a batch together are larger than NATS allows, the sender gets 504."""
    async with Worker.serving(nats_server):
        many = {"commands": alone(fresh(), fresh(VERBOSE))}
        answer = await ask(caller, BOOK.many_subject, many)
    assert (answer["status"], answer["body"]["outcome"]) == (504, "unknown")


async def test_a_worker_that_stops_answers_its_batch_in_flight(nats_server: Nats, caller: Client) -> None:
    """A worker that stops waits for the last command of a batch in flight."""
    async with Worker.serving(nats_server) as worker:
        asked = send(caller, "Ada", SLOW, SLOW)
        await until(lambda: worker.started == 3, "all commands have begun")
        worker.stop.set()
        done, _ = await asyncio.wait({worker.running}, timeout=1)
        assert not done, "the worker waits for the commands in flight"
        worker.go_on.set()
        assert statuses(await asked) == [200, 200, 200]
        await worker.running


async def test_an_incomplete_drain_is_counted_in_commands(nats_server: Nats, caller: Client) -> None:
    """If a drain is incomplete, the worker logs the number of commands in flight, not of messages."""
    async with Worker.serving(nats_server, timeout=1) as worker:
        asked = send(caller, "Ada", SLOW, SLOW)
        await until(lambda: worker.started == 3, "all commands have begun")
        with structlog.testing.capture_logs() as lines:
            worker.stop.set()
            await worker.running
    assert [line["in_flight"] for line in lines if line["event"] == "drain_incomplete"] == [3]
    asked.cancel()


async def test_commands_over_the_limit_are_refused_single_or_in_batches(
    nats_server: Nats, caller: Client
) -> None:
    """A worker takes messages while it has room for one command, and exceeds its limit by less than a batch.

    Further messages, batches or single commands, get 503 at once and are not begun; the rest is answered.
    """
    messages = 40
    async with Worker.serving(nats_server) as worker:
        many = {"commands": alone(*(fresh(SLOW) for _ in range(MOST_TOGETHER)))}
        asked = [asyncio.create_task(status_of(caller, BOOK.many_subject, many)) for _ in range(messages)]
        most = -(-MOST_IN_FLIGHT // MOST_TOGETHER)
        await until(
            lambda: sum(task.done() for task in asked) == messages - most, "the other messages are refused"
        )
        assert worker.started == most * MOST_TOGETHER < MOST_IN_FLIGHT + MOST_TOGETHER
        assert await status_of(caller, BOOK.subject, fresh()) == 503
        assert worker.started == most * MOST_TOGETHER
        worker.go_on.set()
        assert Counter(await asyncio.gather(*asked)) == {200: most, 503: messages - most}
        async with asyncio.timeout(20):
            while await status_of(caller, BOOK.subject, fresh()) != 200:
                await round_trip(caller)


async def test_a_worker_adapts_its_credit_to_the_size_of_batches(nats_server: Nats, caller: Client) -> None:
    """After full batches a worker gives NATS credit for few messages, and still answers small ones."""
    async with Worker.serving(nats_server) as worker:
        for _ in range(30):
            await send(caller, *["Ada"] * MOST_TOGETHER)
        assert worker.started == 30 * MOST_TOGETHER
        for _ in range(300):
            assert statuses(await send(caller, "Ada")) == [200]
