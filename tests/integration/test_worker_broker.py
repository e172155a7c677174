"""A worker answers all commands that it received, though it is stopped or NATS restarts meanwhile."""

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
from shared.worker.dispatcher import Handler, one_by_one
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
    """A worker with one use case, which finishes only once `go_on` is set."""

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
        async with self.broker.serve({WAIT: Handler(one_by_one(self._wait), Reply)}):
            self.serving.set()
            await self.stop.wait()


def ask(caller: Client) -> asyncio.Task[Msg]:
    return asyncio.create_task(caller.request(SUBJECT, b"", timeout=100))


def status_of(message: Msg) -> int:
    status: int = json.loads(message.data)["status"]
    return status


async def test_commands_in_flight_have_the_time_of_a_request_to_finish(
    nats_server: Nats, caller: Client
) -> None:
    """A worker that stops waits for a command in flight as long as a request may take: here over 13 s."""
    worker = Worker(nats_server)
    await worker.serving.wait()
    asked = ask(caller)
    await worker.started.wait()
    worker.stop.set()
    done, _ = await asyncio.wait({worker.running}, timeout=13)
    assert not done, "the worker waits for the command in flight"
    worker.go_on.set()
    assert status_of(await asked) == 200
    await worker.running


async def test_a_worker_stops_despite_a_command_that_hangs(nats_server: Nats, caller: Client) -> None:
    """A worker that stops waits slightly longer than a request may take, and logs the number in flight."""
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
    """If NATS restarts while a worker drains, the worker answers its commands and receives no new ones."""
    worker = Worker(nats_server)
    await worker.serving.wait()
    asked = ask(caller)
    await worker.started.wait()
    with structlog.testing.capture_logs() as lines:
        worker.stop.set()
        await until(lambda: worker.broker.problem() == "not subscribed", "the worker drains")
        nats_server.kill()
        nats_server.start()
        await until(
            lambda: {"event": "nats_reconnected", "log_level": "info"} in lines, "the worker reconnects"
        )
        await until(lambda: caller.stats["reconnects"] == 1, "the caller is back")
        with pytest.raises(NoRespondersError):
            await caller.request(SUBJECT, b"", timeout=5)
        worker.go_on.set()
        assert status_of(await asked) == 200
        await worker.running


async def test_a_worker_that_stops_while_nats_is_down_does_not_resubscribe(
    nats_server: Nats, caller: Client
) -> None:
    """If a worker is stopped while NATS is down, it does not subscribe again when NATS is back."""
    worker = Worker(nats_server)
    await worker.serving.wait()
    asked = ask(caller)
    await worker.started.wait()
    with structlog.testing.capture_logs() as lines:
        nats_server.kill()
        await until(lambda: worker.broker.problem() == "not connected", "the worker notices")
        worker.stop.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        nats_server.start()
        await until(
            lambda: {"event": "nats_reconnected", "log_level": "info"} in lines, "the worker reconnects"
        )
        await until(lambda: caller.stats["reconnects"] == 1, "the caller is back")
        with pytest.raises(NoRespondersError):
            await caller.request(SUBJECT, b"", timeout=5)
        worker.go_on.set()
        assert status_of(await asked) == 200
        await worker.running


async def test_a_worker_that_is_stopped_while_it_subscribes_answers_its_commands(
    nats_server: Nats, caller: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is stopped before NATS confirms its subscription answers the commands sent meanwhile."""
    waiting, round_trip = asyncio.Event(), nats_wire.round_trip

    async def never(connection: Client) -> None:
        monkeypatch.setattr(nats_wire, "round_trip", round_trip)
        await round_trip(connection)  # NATS has the subscription, but the worker does not know
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
    assert not done, "the worker waits for the command in flight"
    worker.go_on.set()
    assert status_of(await asked) == 200
    await asyncio.wait({worker.running})


async def test_a_worker_whose_flow_control_fails_exits(
    nats_server: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If its flow control fails, a worker logs that and fails, for it would receive no more commands."""

    async def die(_control: FlowControl) -> None:
        raise RuntimeError

    monkeypatch.setattr(FlowControl, "run", die)
    with structlog.testing.capture_logs() as lines:
        worker = Worker(nats_server)
        await until(lambda: worker.failed, "the worker has failed")
    assert "task_ended" in [line["event"] for line in lines]
    worker.stop.set()
    await worker.running
