"""A worker's way to NATS: it answers what it was sent, though it is stopped and NATS comes and goes."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import pytest
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from deploy.local.nats import Nats
from shared.contract.commands import AskReady
from shared.contract.envelope import Reply
from shared.contract.operation import Operation
from shared.contract.replies import Readiness
from shared.process import nats_wire
from shared.process.settings import NatsSettings
from shared.worker.attempts import Attempt
from shared.worker.broker import WorkerBroker
from shared.worker.dispatcher import Handler, unbatched
from shared.worker.flow_control import FlowControl
from tests.integration.breakable import until

SUBJECT = "test.v1.wait"
WAIT = Operation(subject=SUBJECT, group="test", example=AskReady(), answer=Readiness(ready=True, checks={}))


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[Nats]:
    with Nats(tmp_path) as server:
        yield server


@pytest.fixture
async def caller(nats_server: Nats) -> AsyncIterator[Client]:
    connection = await nats.connect(nats_server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05)
    yield connection
    await connection.close()


class Worker:
    """A worker whose one use case takes until it is told to go on."""

    def __init__(self, server: Nats, *, timeout: float = 60) -> None:
        self.failed = False
        self.started, self.go_on, self.serving, self.stop = (asyncio.Event() for _ in range(4))
        self.broker = WorkerBroker(
            "test", NatsSettings(nats_url=server.url, request_timeout_seconds=timeout), self._fail
        )
        self.running = asyncio.create_task(self._run())

    def _fail(self) -> None:
        self.failed = True

    async def _wait(self, _: Attempt[AskReady]) -> Readiness:
        self.started.set()
        await self.go_on.wait()
        return Readiness(ready=True, checks={})

    async def _run(self) -> None:
        async with self.broker.serve({WAIT: Handler(unbatched(self._wait), Reply)}):
            self.serving.set()
            await self.stop.wait()


def ask(caller: Client) -> asyncio.Task[Msg]:
    return asyncio.create_task(caller.request(SUBJECT, b"", timeout=100))


def status_of(message: Msg) -> int:
    status: int = json.loads(message.data)["status"]
    return status


async def test_what_is_in_flight_has_the_time_of_a_request_to_be_answered(
    nats_server: Nats, caller: Client
) -> None:
    """A worker that stops answers a command that takes as long as a request may, and not the 12 s of once."""
    worker = Worker(nats_server)
    await worker.serving.wait()
    asked = ask(caller)
    await worker.started.wait()
    worker.stop.set()
    done, _ = await asyncio.wait({worker.running}, timeout=13)
    assert not done, "it waits for what is in flight"
    worker.go_on.set()
    assert status_of(await asked) == 200
    await worker.running


async def test_a_command_that_hangs_keeps_no_worker_from_stopping(nats_server: Nats, caller: Client) -> None:
    """A worker that stops waits a little longer than a request may take, and says what it leaves behind."""
    worker = Worker(nats_server, timeout=1)
    await worker.serving.wait()
    asked = ask(caller)
    await worker.started.wait()
    worker.stop.set()
    with structlog.testing.capture_logs() as lines:
        await worker.running
    assert [line["in_flight"] for line in lines if line["event"] == "drain_incomplete"] == [1]
    asked.cancel()
    worker.go_on.set()


async def test_a_worker_that_stops_does_not_subscribe_on_a_new_connection(
    nats_server: Nats, caller: Client
) -> None:
    """NATS is lost and comes back while a worker drains: it answers what it has, and is sent nothing more."""
    worker = Worker(nats_server)
    await worker.serving.wait()
    asked = ask(caller)
    await worker.started.wait()
    with structlog.testing.capture_logs() as lines:
        worker.stop.set()
        await until(lambda: worker.broker.problem() == "not subscribed", "it drains")
        nats_server.kill()
        nats_server.start()
        await until(lambda: {"event": "nats_reconnected", "log_level": "info"} in lines, "it is back")
        await until(lambda: caller.stats["reconnects"] == 1, "the caller is back")
        with pytest.raises(NoRespondersError):
            await caller.request(SUBJECT, b"", timeout=5)
        worker.go_on.set()
        assert status_of(await asked) == 200
        await worker.running


async def test_a_worker_that_stops_without_nats_does_not_subscribe_when_nats_is_back(
    nats_server: Nats, caller: Client
) -> None:
    """NATS is away when a worker is told to stop, and is back before it has: it is sent nothing more."""
    worker = Worker(nats_server)
    await worker.serving.wait()
    asked = ask(caller)
    await worker.started.wait()
    with structlog.testing.capture_logs() as lines:
        nats_server.kill()
        await until(lambda: worker.broker.problem() == "not connected", "it notices")
        worker.stop.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        nats_server.start()
        await until(lambda: {"event": "nats_reconnected", "log_level": "info"} in lines, "it is back")
        await until(lambda: caller.stats["reconnects"] == 1, "the caller is back")
        with pytest.raises(NoRespondersError):
            await caller.request(SUBJECT, b"", timeout=5)
        worker.go_on.set()
        assert status_of(await asked) == 200
        await worker.running


async def test_a_worker_that_is_stopped_before_it_serves_answers_what_it_was_sent(
    nats_server: Nats, caller: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM once a worker has subscribed, before NATS says so: what NATS has sent already is answered."""
    waiting, round_trip = asyncio.Event(), nats_wire.round_trip

    async def never(connection: Client) -> None:
        monkeypatch.setattr(nats_wire, "round_trip", round_trip)
        await round_trip(connection)  # NATS has read that it is subscribed, and the worker has not heard so
        waiting.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(nats_wire, "round_trip", never)
    worker = Worker(nats_server)
    await waiting.wait()
    assert worker.broker.problem() == "not subscribed"
    asked = ask(caller)
    await worker.started.wait()
    worker.running.cancel()
    done, _ = await asyncio.wait({worker.running}, timeout=1)
    assert not done, "it waits for what is in flight"
    worker.go_on.set()
    assert status_of(await asked) == 200
    await asyncio.wait({worker.running})


async def test_a_worker_whose_flow_control_has_died_ends(
    nats_server: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its flow control a worker would be deaf sooner or later: it says so, and fails."""

    async def die(_control: FlowControl) -> None:
        raise RuntimeError

    monkeypatch.setattr(FlowControl, "run", die)
    with structlog.testing.capture_logs() as lines:
        worker = Worker(nats_server)
        await until(lambda: worker.failed, "it has failed")
    assert "task_ended" in [line["event"] for line in lines]
    worker.stop.set()
    await worker.running
