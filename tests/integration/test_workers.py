"""Workers that are stopped, killed, paused, absent or misconfigured."""

import asyncio
import signal
from collections import Counter

import httpx
import nats
import pytest
from pymongo import MongoClient

from shared.contract.deadline import Deadline
from tests.callers import Answer, HttpCaller, NatsCaller
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
