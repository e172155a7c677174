"""Workers come and go: stopped, killed, absent, any number of them."""

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
    """Book 600 slots over plain NATS, which repeats nothing, and stop a worker when some are answered."""
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
    """SIGTERM under load: every command in flight is executed and answered, and the worker exits with 0."""
    with servers.new_stack() as stack:
        stopped = stack.start("booking_worker", without="slow_store")
        stack.start("booking_worker")
        stack.wait_serving()
        answers = await book_through_stop(stack, stopped, patience=20)
    assert Counter(answer.status for answer in answers if isinstance(answer, Answer)) == {201: 600}
    assert stopped.process.returncode == 0


async def test_a_worker_that_does_not_drain_loses_commands(servers: Servers) -> None:
    """Control: without the drain, commands in flight at SIGTERM are never answered."""
    with servers.new_stack() as stack:
        stopped = stack.start("booking_worker", without="no_drain,slow_store")
        stack.start("booking_worker")
        stack.wait_serving()
        answers = await book_through_stop(stack, stopped, patience=5)
    assert any(isinstance(answer, BaseException) for answer in answers)


async def test_a_killed_worker_costs_no_answer(servers: Servers) -> None:
    """SIGKILL in mid-booking: the gateway asks another worker, and each slot has exactly one winner."""
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
    """Stop the only worker, let a command's deadline pass, continue it: the answer, and the bookings made."""
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


async def test_a_command_met_too_late_writes_nothing(servers: Servers) -> None:
    """A worker that is stopped past a deadline, and then continued, does not execute the command."""
    answer, bookings = await book_past_the_deadline(servers, without="")
    assert (answer.status, answer.body["outcome"], bookings) == (503, "not_executed", 0)


async def test_without_the_deadline_late_commands_are_executed(servers: Servers) -> None:
    """Control: without the look at the deadline, the late command is booked."""
    answer, bookings = await book_past_the_deadline(servers, without="no_deadline")
    assert (answer.status, bookings) == (201, 1)


async def test_too_much_at_once_is_refused_at_once(servers: Servers) -> None:
    """A worker has at most so many commands in flight; what comes on top is refused, and not forgotten."""
    with servers.new_stack(REQUEST_TIMEOUT_SECONDS="60") as stack:
        stack.start("booking_worker", without="slow_store")
        stack.wait_serving()
        async with Flood.connect(stack.env["NATS_URL"], BOOK.subject, deadline=60) as flood:
            answers = await flood.send_at(5 * MOST_IN_FLIGHT, 1, book_fresh)
            again = await flood.send_at(3, 1, book_fresh)
    assert answers.unanswered == 0
    assert answers.statuses[503] >= 3 * MOST_IN_FLIGHT
    assert answers.no_responders > answers.statuses[503] / 2, "NATS turns most of them away by itself"
    assert 0 < answers.statuses[201] <= 2 * MOST_IN_FLIGHT
    assert again.statuses == {201: again.sent}


async def send_to_paused(stack: Stack, worker: Service, *signals: signal.Signals) -> Counter[int]:
    """What 4000 commands are answered that a paused worker finds together, after these signals."""
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
    """Of commands that wait for a paused worker it takes no more than it has room for; the rest hear 503."""
    with servers.new_stack(REQUEST_TIMEOUT_SECONDS="60") as stack:
        worker = stack.start("booking_worker", without="slow_store")
        stack.wait_serving()
        statuses = await send_to_paused(stack, worker)
    assert set(statuses) == {201, 503}
    assert statuses[201] < 2 * MOST_IN_FLIGHT


async def test_a_worker_with_its_hands_full_is_ready(servers: Servers) -> None:
    """A worker says whether it can serve, however much is in flight: it is not to be restarted for that."""
    with servers.new_stack(REQUEST_TIMEOUT_SECONDS="60") as stack:
        worker = stack.start("booking_worker", without="slow_store")
        stack.wait_serving()
        burst = asyncio.create_task(send_to_paused(stack, worker))
        await until(lambda: "overloaded" in worker.log, "its hands are full")
        async with CommandClient(stack.env["NATS_URL"]) as client:
            answers = await client.readiness.ask_workers(
                BOOKING_READY.subject, seconds=10, enough=lambda _: True
            )
        assert [answer.ready for answer in answers] == [True]
        await burst


async def test_a_worker_that_is_stopped_in_a_burst_answers_all_of_it(servers: Servers) -> None:
    """SIGTERM while commands wait that it has not looked at yet: each is booked or refused."""
    with servers.new_stack(REQUEST_TIMEOUT_SECONDS="60") as stack:
        worker = stack.start("booking_worker")
        stack.wait_serving()
        statuses = await send_to_paused(stack, worker, signal.SIGTERM)
        assert worker.wait() == 0
    assert set(statuses) == {201, 503}


def book_fresh(_number: int) -> bytes:
    return json.dumps(fresh()).encode()


async def test_a_worker_can_join_and_leave_at_any_time(servers: Servers) -> None:
    """With one worker replaced by another, bookings go on."""
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
    """With no worker there, a request is answered 503 at once, and the caller may repeat it."""
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
    """A gateway whose NATS is not there starts, answers 503, and says what is missing."""
    with servers.new_stack(NATS_URL="nats://127.0.0.1:1") as stack:
        stack.start_gateway()
        wait_until(lambda: httpx.get(f"{stack.url}/livez").status_code == 200, "the gateway lives")
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
            answer = await HttpCaller(client).book(fresh())
            assert (answer.status, answer.body["outcome"]) == (503, "not_executed")
            ready = await client.get("/readyz")
            assert (ready.status_code, ready.json()["checks"]["nats"]) == (503, "not connected")


async def test_readiness_names_the_part_that_is_missing(servers: Servers) -> None:
    """`/readyz` of the gateway is 503 until a worker of each kind answers, and says which does not."""
    with servers.new_stack() as stack:
        stack.start_gateway()
        stack.start("booking_worker")
        stack.wait_serving()
        wait_until(
            lambda: httpx.get(f"{stack.url}/readyz").json()["checks"]["booking_worker"].startswith("ok"),
            "bookings work",
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
    """A service that cannot start says why in one line that names the variable, and exits with 1."""
    with servers.new_stack(REQUEST_TIMEOUT_SECONDS="soon") as stack:
        service = stack.start(module)
        assert service.wait() == 1
        assert service.log.startswith("REQUEST_TIMEOUT_SECONDS")
        assert service.log.count("\n") == 1


@pytest.mark.parametrize("variable", ["MONGO_URI", "REDIS_URL"])
def test_an_unusable_url_stops_a_worker_with_one_line(servers: Servers, variable: str) -> None:
    """A URL that cannot be read is named by its variable, and not repeated: it may hold a password."""
    url = {"MONGO_URI": "mongodb://u:secret@", "REDIS_URL": "redis://:secret@host:port"}[variable]
    with servers.new_stack(**{variable: url}) as stack:
        service = stack.start("booking_worker")
        assert service.wait() == 1
        assert service.log.startswith(variable)
        assert "secret" not in service.log
        assert service.log.count("\n") == 1
