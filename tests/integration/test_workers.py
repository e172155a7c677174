"""Workers that are stopped, killed, paused, overloaded or absent."""

import asyncio
import json
import signal
from collections import Counter

import httpx
import nats
import pytest
from nats.aio.msg import Msg
from pymongo import MongoClient

from shared.client.command_client import CommandClient
from shared.contract.deadline import Deadline
from shared.contract.operations import BOOK, BOOKING_READY
from shared.process.nats_wire import round_trip
from shared.worker.in_flight import MOST_IN_FLIGHT
from tests.bench.flood import Flood
from tests.callers import Answer, HttpCaller, NatsCaller
from tests.integration.breakable import until
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Service, Stack, wait_until


async def book_through_stop(
    stack: Stack, stopped: Service, *, patience: float
) -> list[Answer | BaseException]:
    """Book 600 slots over plain NATS, without retries, and stop a worker after the first answer."""
    connection = await nats.connect(stack.env["NATS_URL"])
    caller, answered = NatsCaller(connection), asyncio.Event()

    async def book() -> Answer:
        answer = await caller.book(fresh(), Deadline="99999999999999")
        answered.set()
        return answer

    requests = [asyncio.create_task(book()) for _ in range(600)]
    await answered.wait()
    stopped.send(signal.SIGTERM)
    await asyncio.to_thread(stopped.wait)
    await asyncio.wait(requests, timeout=patience)
    for request in requests:
        request.cancel()
    await connection.close()
    return await asyncio.gather(*requests, return_exceptions=True)


async def test_a_stopped_worker_loses_nothing(servers: Servers) -> None:
    """A worker that gets SIGTERM under load answers every command in flight and exits with 0."""
    with servers.new_stack() as stack:
        stopped = stack.start("booking_worker", without="slow_store")
        stack.start("booking_worker")
        stack.wait_serving()
        answers = await book_through_stop(stack, stopped, patience=20)
    assert Counter(answer.status for answer in answers if isinstance(answer, Answer)) == {201: 600}
    assert stopped.process.returncode == 0


async def test_without_the_drain_a_stopped_worker_loses_commands(servers: Servers) -> None:
    """Control: without the drain, commands in flight at SIGTERM are never answered."""
    with servers.new_stack() as stack:
        stopped = stack.start("booking_worker", without="no_drain,slow_store")
        stack.start("booking_worker")
        stack.wait_serving()
        answers = await book_through_stop(stack, stopped, patience=5)
    assert any(isinstance(answer, BaseException) for answer in answers)


async def test_a_killed_worker_costs_no_answer(servers: Servers) -> None:
    """If a worker is killed under load, the gateway retries with another, and every slot has one winner."""
    with servers.new_stack() as stack:
        stack.up(booking_workers=3)
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
            caller, answered = HttpCaller(client), asyncio.Event()

            async def book(body: dict[str, str]) -> Answer:
                answer = await caller.book(body)
                answered.set()
                return answer

            slots = [fresh() for _ in range(20)]
            rivals = [{**body, "patientName": f"Patient {n}"} for body in slots for n in range(15)]
            requests = [asyncio.create_task(book(body)) for body in rivals]
            await answered.wait()
            stack.workers("booking_worker")[0].kill()
            answers = await asyncio.gather(*requests)
            winners = [answer.body["appointment"] for answer in answers if answer.status == 201]
            assert Counter(answer.status for answer in answers) == {201: 20, 409: 280}
            assert {winner["site"] for winner in winners} == {body["site"] for body in slots}
            for winner in winners:
                assert (await caller.get(winner["id"])).body["appointment"] == winner


async def book_past_the_deadline(servers: Servers, without: str) -> tuple[Answer, int]:
    """Pause the only worker past a command's deadline; return the answer and the number of bookings."""
    with servers.new_stack() as stack:
        worker = stack.start("booking_worker", without=without)
        stack.wait_serving()
        connection = await nats.connect(stack.env["NATS_URL"])
        worker.send(signal.SIGSTOP)
        deadline = Deadline.after(0.3)
        asked = asyncio.create_task(NatsCaller(connection).book(fresh(), Deadline=str(deadline.unix_ms)))
        await asyncio.sleep(deadline.remaining + 0.1)
        worker.send(signal.SIGCONT)
        answer = await asked
        await connection.close()
        with MongoClient[dict[str, object]](stack.env["MONGO_URI"]) as client:
            return answer, client.get_default_database()["appointments"].count_documents({})


async def test_a_worker_paused_past_a_deadline_writes_nothing(servers: Servers) -> None:
    """A worker that is paused past a command's deadline answers 503 and does not execute it."""
    answer, bookings = await book_past_the_deadline(servers, without="")
    assert (answer.status, answer.body["outcome"], bookings) == (503, "not_executed", 0)


async def test_without_the_deadline_check_late_commands_are_executed(servers: Servers) -> None:
    """Control: without the check of the deadline, the late command books."""
    answer, bookings = await book_past_the_deadline(servers, without="no_deadline")
    assert (answer.status, bookings) == (201, 1)


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
            answers = await client.ask_ready(BOOKING_READY.subject, seconds=10, enough=lambda _: True)
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


async def test_a_worker_can_join_and_leave_at_any_time(servers: Servers) -> None:
    """Bookings succeed while one worker is replaced by another."""
    with servers.new_stack() as stack:
        stack.up(booking_workers=1)
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
            caller, first = HttpCaller(client), stack.workers("booking_worker")[0]
            assert (await caller.book(fresh())).status == 201
            stack.start("booking_worker")
            stack.wait_serving()
            first.send(signal.SIGTERM)
            assert first.wait() == 0
            assert (await caller.book(fresh())).status == 201


async def test_without_a_worker_nothing_is_executed(servers: Servers) -> None:
    """Without a worker, every request gets 503 with `Retry-After`, and nothing is executed."""
    with servers.new_stack() as stack:
        stack.start_gateway()
        wait_until(
            lambda: httpx.get(f"{stack.url}/readyz").json()["checks"]["nats"] == "ok",
            "the gateway is connected",
        )
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
            caller = HttpCaller(client)
            for ask in (caller.book, caller.hold):
                answer = await ask(fresh())
                assert (answer.status, answer.body["outcome"]) == (503, "not_executed")
                assert answer.headers["retry-after"] == "1"
            assert (await caller.get("nothing")).status == 503


async def test_without_nats_nothing_is_executed(servers: Servers) -> None:
    """A gateway without NATS starts, answers 503, and names NATS in `/readyz`."""
    with servers.new_stack(NATS_URL="nats://127.0.0.1:1") as stack:
        stack.start_gateway()
        wait_until(lambda: httpx.get(f"{stack.url}/livez").status_code == 200, "the gateway is live")
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
            answer = await HttpCaller(client).book(fresh())
            assert (answer.status, answer.body["outcome"]) == (503, "not_executed")
            ready = await client.get("/readyz")
            assert (ready.status_code, ready.json()["checks"]["nats"]) == (503, "not connected")


async def test_readiness_names_the_missing_kind_of_worker(servers: Servers) -> None:
    """The gateway's `/readyz` is 503 until a worker of each kind answers, and names the missing kind."""
    with servers.new_stack() as stack:
        stack.start_gateway()
        stack.start("booking_worker")
        stack.wait_serving()
        wait_until(
            lambda: httpx.get(f"{stack.url}/readyz").json()["checks"]["booking_worker"].startswith("ok"),
            "the booking worker answers",
        )
        answer = httpx.get(f"{stack.url}/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"] == {
            "nats": "ok",
            "booking_worker": "ok, 1 of 1 ready",
            "hold_worker": "no worker answers",
        }


@pytest.mark.parametrize("module", ["gateway", "booking_worker", "hold_worker"])
def test_a_wrong_setting_stops_a_service_with_one_line(servers: Servers, module: str) -> None:
    """A service with an invalid setting exits with 1 and one line that names the variable."""
    with servers.new_stack(REQUEST_TIMEOUT_SECONDS="soon") as stack:
        service = stack.start(module)
        assert service.wait() == 1
        assert service.log.startswith("REQUEST_TIMEOUT_SECONDS")
        assert service.log.count("\n") == 1


@pytest.mark.parametrize("variable", ["MONGO_URI", "REDIS_URL"])
def test_an_unusable_url_stops_a_worker_with_one_line(servers: Servers, variable: str) -> None:
    """An invalid URL is reported by its variable alone, for the URL may contain a password."""
    url = {"MONGO_URI": "mongodb://u:secret@", "REDIS_URL": "redis://:secret@host:port"}[variable]
    with servers.new_stack(**{variable: url}) as stack:
        service = stack.start("booking_worker")
        assert service.wait() == 1
        assert service.log.startswith(variable)
        assert "secret" not in service.log
        assert service.log.count("\n") == 1
