"""MongoDB that hangs, dies, or whose answers are lost: what the callers hear, and what is booked."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import nats
import pytest

from deploy.local.mongod import Mongod
from shared.contract.deadline import Deadline
from tests.callers import Answer, HttpCaller, NatsCaller
from tests.integration.breakable import LINK, REPLIES_LOST, count_rows, http_caller, proxy, until
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Stack

KEY = {"Idempotency-Key": "order 4711"}


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A MongoDB that the tests may pause and kill."""
    with Mongod(tmp_path_factory.mktemp("mongod")) as server:
        yield server


@pytest.fixture
def stack(servers: Servers, mongod: Mongod) -> Iterator[Stack]:
    """No process yet, on a database of its own in that MongoDB; callers wait for a second and a half."""
    uri = mongod.url.replace("/booking?", f"/test_{uuid4().hex[:12]}?")
    with servers.new_stack(MONGO_URI=uri, REQUEST_TIMEOUT_SECONDS="1.5") as stack:
        yield stack


async def ask_for_everything(caller: HttpCaller, body: dict[str, str]) -> tuple[Answer, ...]:
    """One request of each kind at once; the first books, with a key."""
    return await asyncio.gather(
        caller.book(body, **KEY), caller.book(fresh()), caller.hold(fresh()), caller.get(str(uuid4()))
    )


def is_honest(answer: Answer) -> bool:
    """Whether it is one of the two answers that tell the outcome, and when to ask again."""
    outcomes = {503: "not_executed", 504: "unknown"}
    told = answer.body["outcome"], answer.headers["retry-after"]
    return told == (outcomes.get(answer.status), "1")


async def test_a_booking_that_mongodb_does_not_answer_is_unknown(stack: Stack, mongod: Mongod) -> None:
    """While MongoDB hangs a booking is answered 504 unknown; repeated with its key it is made once."""
    stack.up(booking_workers=1)
    async with http_caller(stack) as caller:
        body = fresh()
        mongod.pause()
        try:
            answers = await ask_for_everything(caller, body)
        finally:
            mongod.resume()
        assert answers[0].status == 504
        assert all(is_honest(answer) for answer in answers), answers
        await until(lambda: httpx.get(f"{stack.url}/readyz").status_code == 200, "MongoDB is back")
        again = await caller.book(body, **KEY)
        assert again.status == 201
        assert (await caller.book(body, **KEY)).body == again.body
    assert count_rows(stack, site=body["site"]) == 1


async def test_a_write_taken_for_not_executed_is_executed(stack: Stack, mongod: Mongod) -> None:
    """Control: a worker that has no doubt says 503 while MongoDB hangs, and then the booking is there."""
    stack.start("booking_worker", without="no_doubt")
    stack.wait_serving()
    connection = await nats.connect(stack.env["NATS_URL"])
    caller, body = NatsCaller(connection), fresh()
    assert (await caller.book(fresh())).status == 201
    mongod.pause()
    try:
        answer = await caller.book(body, Deadline=str(Deadline.after(0.5).unix_ms))
    finally:
        mongod.resume()
    await connection.close()
    assert (answer.status, answer.body["outcome"]) == (503, "not_executed")
    await until(lambda: count_rows(stack, site=body["site"]) == 1, "the booking is there")


async def test_a_mongodb_that_is_gone_costs_time_and_no_booking(stack: Stack, mongod: Mongod) -> None:
    """With MongoDB gone every request is answered 503: nothing was done. Once it is back, a repeat books."""
    stack.env["REQUEST_TIMEOUT_SECONDS"] = "5"  # for so long a primary is waited for
    stack.up(booking_workers=1)
    async with http_caller(stack) as caller:
        held, body = fresh(), fresh()
        token = (await caller.hold(held)).body["hold"]["token"]
        mongod.kill()
        try:
            at_once = await ask_for_everything(caller, body)
            await until(lambda: httpx.get(f"{stack.url}/readyz").status_code == 503, "it is noticed")
            answers = [
                *await ask_for_everything(caller, body),
                *await asyncio.gather(
                    caller.hold({**held, "holdToken": token}), caller.book({**held, "patientName": "Grace"})
                ),
            ]
        finally:
            await asyncio.to_thread(mongod.start)
        assert all(is_honest(answer) for answer in (*at_once, *answers)), (at_once, answers)
        *nothing_done, extended, stands_in_the_way = answers
        assert [answer.status for answer in nothing_done] == [503] * 4
        # The hold was granted before: while the last look at the indexes counts, it may be prolonged.
        assert extended.status in {503, 504}
        assert stands_in_the_way.status == 503
        await until(lambda: httpx.get(f"{stack.url}/readyz").status_code == 200, "MongoDB is back")
        assert (await caller.book(body, **KEY)).status == 201
        assert (await caller.book({**body, "patientName": "Grace"})).status == 409
    assert count_rows(stack, site=body["site"]) == 1


async def test_a_lost_answer_of_mongodb_is_asked_for_again(servers: Servers) -> None:
    """Where MongoDB's answer to the insert is lost, the worker itself finds out: 201, and one row."""
    with servers.new_stack() as stack:
        direct = stack.env["MONGO_URI"]
        async with proxy() as links:
            gate = await links.listen(LINK, urlsplit(direct).port or 27017)
            database = Path(urlsplit(direct).path).name
            uri = f"mongodb://127.0.0.1:{gate}/{database}?directConnection=true"
            stack.start("booking_worker", MONGO_URI=uri)
            await asyncio.to_thread(stack.wait_serving)
            connection = await nats.connect(stack.env["NATS_URL"])
            caller, body = NatsCaller(connection), fresh()
            # The worker has connections, so that the insert goes on one of them.
            seen = await asyncio.gather(*(caller.book(fresh()) for _ in range(8)))
            assert {answer.status for answer in seen} == {201}
            links.impose(REPLIES_LOST)
            booking = asyncio.create_task(caller.book(body))
            await until(lambda: count_rows(stack, site=body["site"]) > 0, "the row is there")
            assert not booking.done()
            links.lift(REPLIES_LOST)
            answer = await booking
            await connection.close()
        assert answer.status == 201
        assert count_rows(stack, site=body["site"]) == 1
