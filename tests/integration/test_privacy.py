"""A patient's name is in no log line and in no error body."""

import asyncio
import json

import httpx
import nats

from tests.callers import Answer, Caller, HttpCaller, NatsCaller
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import wait_until

CANARY = "Zebra-Canary"


async def provoke(caller: Caller) -> list[Answer]:
    """Cause every kind of answer by requests that have the name in every field that takes text."""
    body = fresh(CANARY, contact=f"+49 {CANARY}")
    rival = {**body, "patientName": f"{CANARY} Junior"}
    requests = [
        caller.hold(body),
        caller.hold(rival),
        caller.book(rival),
        caller.book(body),
        caller.book(rival),
        caller.hold(rival),
        caller.book(fresh(CANARY * 100)),
        caller.book(fresh("Ada", contact=CANARY * 100)),
        caller.hold(fresh("Ada", contact=f"{CANARY}\n{CANARY}")),
        caller.book(fresh(CANARY, slot=CANARY)),
        caller.book(fresh(CANARY, site=f"{CANARY}!")),
        caller.book(fresh(CANARY, resources=[f"{CANARY}!"])),
        caller.book(fresh(CANARY, holdToken=CANARY)),
        caller.book(fresh(CANARY, durationMinutes=CANARY)),
        caller.book({**fresh(CANARY), CANARY: CANARY}),
        caller.book(f'{{"patientName": "{CANARY}"'.encode()),
        caller.book(fresh(CANARY, padding=CANARY * 2000)),
        caller.book(fresh(CANARY), **{"Idempotency-Key": CANARY * 50}),
        caller.book(fresh(CANARY), **{"X-Request-Id": CANARY}),
        caller.get(CANARY),
    ]
    return [await request for request in requests]


async def test_a_name_is_in_no_log_and_no_error(servers: Servers) -> None:
    """A canary name, sent in every field, is in the answers that confirm it and in no log or error."""
    with servers.new_stack(LOG_LEVEL="debug") as stack:
        stack.up()
        connection = await nats.connect(stack.env["NATS_URL"])
        async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
            answers = await provoke(HttpCaller(client)) + await provoke(NatsCaller(connection))
            await asyncio.gather(*(client.get(f"/api/{CANARY}?{CANARY}") for _ in range(3)))
        await connection.close()
        logs = "".join(service.log for service in stack.services)
    assert {answer.status for answer in answers} >= {200, 201, 400, 404, 409, 413}
    assert "answered" in logs
    assert CANARY not in logs
    for answer in answers:
        if answer.status >= 400:
            assert CANARY not in answer.text + str(answer.headers)


async def fail_with_a_name(servers: Servers, without: str) -> tuple[Answer, str]:
    """Book with a worker whose store raises an exception that quotes the booking; return answer and log."""
    with servers.new_stack(LOG_LEVEL="debug") as stack:
        worker = stack.start("booking_worker", without=without)
        stack.wait_serving()
        connection = await nats.connect(stack.env["NATS_URL"])
        answer = await NatsCaller(connection).book(fresh(CANARY))
        await connection.close()
        wait_until(lambda: "command_failed" in worker.log, "the failure is logged")
        return answer, worker.log


async def test_an_exception_that_quotes_a_name_is_logged_without_its_text(servers: Servers) -> None:
    """The log has an exception's type and place, the answer a fixed sentence, and neither has its text."""
    answer, log = await fail_with_a_name(servers, without="failing_store")
    assert (answer.status, answer.body["outcome"]) == (504, "unknown")
    failed = next(event for event in map(json.loads, log.splitlines()) if event["event"] == "command_failed")
    assert failed["exception"] == "ValueError"
    assert any("book.py" in frame for frame in failed["raised_at"])
    assert CANARY not in log + answer.text + str(answer.headers)


async def test_without_the_log_filter_the_name_is_in_the_log(servers: Servers) -> None:
    """Control: if exceptions are logged with their text, the log has the canary name."""
    _, log = await fail_with_a_name(servers, without="failing_store,no_log_filter")
    assert "ValueError" in log
    assert CANARY in log
