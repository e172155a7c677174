"""While MongoDB hangs, is dead or loses answers, every caller gets a true outcome."""

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
    """Start a MongoDB that the tests may pause and kill."""
    with Mongod(tmp_path_factory.mktemp("mongod")) as server:
        yield server


@pytest.fixture
def stack(servers: Servers, mongod: Mongod) -> Iterator[Stack]:
    """Make a stack without processes on its own database there; its callers wait for 1.5 s."""
    uri = mongod.url.replace("/booking?", f"/test_{uuid4().hex[:12]}?")
    with servers.new_stack(MONGO_URI=uri, REQUEST_TIMEOUT_SECONDS="1.5") as stack:
        yield stack


async def send_one_of_each(caller: HttpCaller, body: dict[str, str]) -> tuple[Answer, ...]:
    """Send one request of each kind at once; the first is a booking with a key."""
    return await asyncio.gather(
        caller.book(body, **KEY), caller.book(fresh()), caller.hold(fresh()), caller.get(str(uuid4()))
    )


def has_known_outcome(answer: Answer) -> bool:
    """Return whether it is 503 or 504 with its outcome and `Retry-After`."""
    outcomes = {503: "not_executed", 504: "unknown"}
    outcome = answer.body["outcome"], answer.headers["retry-after"]
    return outcome == (outcomes.get(answer.status), "1")


async def test_a_booking_while_mongodb_hangs_is_unknown(stack: Stack, mongod: Mongod) -> None:
    """A booking while MongoDB hangs gets 504; a retry with its key books exactly once."""
    stack.up(booking_workers=1)
    async with http_caller(stack) as caller:
        body = fresh()
        mongod.pause()
        try:
            answers = await send_one_of_each(caller, body)
        finally:
            mongod.resume()
        assert answers[0].status == 504
        assert all(has_known_outcome(answer) for answer in answers), answers
        await until(lambda: httpx.get(f"{stack.url}/readyz").status_code == 200, "MongoDB is back")
        again = await caller.book_until_done(body, **KEY)
        assert again.status == 201
        assert (await caller.book(body, **KEY)).body == again.body
    assert count_rows(stack, site=body["site"]) == 1


async def test_without_doubt_a_write_reported_as_not_executed_is_executed(
    stack: Stack, mongod: Mongod
) -> None:
    """Control: a worker that counts an unanswered write as not executed answers 503, and the row appears."""
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
    await until(lambda: count_rows(stack, site=body["site"]) == 1, "the row appears")


async def test_requests_while_mongodb_is_down_get_503(stack: Stack, mongod: Mongod) -> None:
    """While MongoDB is down every request gets 503 and books nothing; a retry books once it is back."""
    stack.env["REQUEST_TIMEOUT_SECONDS"] = "5"  # the wait for a primary is part of it
    stack.up(booking_workers=1)
    async with http_caller(stack) as caller:
        held, body = fresh(), fresh()
        token = (await caller.hold(held)).body["hold"]["token"]
        mongod.kill()
        try:
            at_once = await send_one_of_each(caller, body)
            await until(lambda: httpx.get(f"{stack.url}/readyz").status_code == 503, "the workers notice")
            answers = [
                *await send_one_of_each(caller, body),
                *await asyncio.gather(
                    caller.hold({**held, "holdToken": token}), caller.book({**held, "patientName": "Grace"})
                ),
            ]
        finally:
            await asyncio.to_thread(mongod.start)
        assert all(has_known_outcome(answer) for answer in (*at_once, *answers)), (at_once, answers)
        *nothing_done, extended, rival = answers
        assert [answer.status for answer in nothing_done] == [503] * 4
        # The hold was granted before: it may be extended while the last check of the indexes is valid.
        assert extended.status in {503, 504}
        assert rival.status == 503
        await until(lambda: httpx.get(f"{stack.url}/readyz").status_code == 200, "MongoDB is back")
        assert (await caller.book_until_done(body, **KEY)).status == 201
        assert (await caller.book({**body, "patientName": "Grace"})).status == 409
    assert count_rows(stack, site=body["site"]) == 1


async def test_a_lost_answer_of_mongodb_is_found_by_the_worker(servers: Servers) -> None:
    """If MongoDB's answer to an insert is lost, the worker looks for its row: 201, and one row."""
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
            # Let the worker open its connections, so that the insert uses one of them.
            seen = await asyncio.gather(*(caller.book(fresh()) for _ in range(8)))
            assert {answer.status for answer in seen} == {201}
            links.impose(REPLIES_LOST)
            booking = asyncio.create_task(caller.book(body))
            await until(lambda: count_rows(stack, site=body["site"]) > 0, "the row is stored")
            assert not booking.done()
            links.lift(REPLIES_LOST)
            answer = await booking
            await connection.close()
        assert answer.status == 201
        assert count_rows(stack, site=body["site"]) == 1
