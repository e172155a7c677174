"""The unique index, dropped while a worker serves: what the next bookings hear."""

import json

from pymongo import MongoClient

from tests.callers import Answer
from tests.integration.breakable import http_caller, until
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Service, Stack

CLAIM_INDEX = "one_booking_per_claim"
GONE = f"index {CLAIM_INDEX} is gone"


def drop_index(stack: Stack) -> None:
    with MongoClient[dict[str, object]](stack.env["MONGO_URI"]) as client:
        client.get_default_database()["appointments"].drop_index(CLAIM_INDEX)


def events(worker: Service) -> list[dict[str, object]]:
    return [json.loads(line) for line in worker.log.splitlines()]


async def book_twice_without_the_index(servers: Servers, without: str) -> tuple[list[Answer], list[str]]:
    """Drop the index, wait until the worker has seen it, if it looks, and book one slot for two patients.

    The answers to both, asked again where that was 503, and what the worker has logged since.
    """
    with servers.new_stack() as stack:
        stack.start_gateway()
        worker = stack.start("booking_worker", without=without)
        stack.start("hold_worker", without="no_index_check")
        stack.wait_ready()
        before = len(events(worker))
        drop_index(stack)
        if not without:
            await until(lambda: GONE in worker.log, "the worker has seen it")
        async with http_caller(stack) as caller:
            body, answers = fresh(), list[Answer]()
            for name in ("Ada", "Grace"):
                answers.append(await caller.book({**body, "patientName": name}))
                while answers[-1].status == 503:
                    answers[-1] = await caller.book({**body, "patientName": name})
        return answers, [str(event["event"]) for event in events(worker)[before:]]


async def test_a_worker_that_has_lost_the_index_confirms_nothing_without_it(servers: Servers) -> None:
    """A worker answers 503 from when it sees that the index is gone until it has made it again."""
    answers, logged = await book_twice_without_the_index(servers, without="")
    assert [answer.status for answer in answers] == [201, 409]
    beside = ("answered", "subject_left", "subject_joined")
    assert [event for event in logged if event not in beside] == [
        "database_not_ready",
        "index_created",
        "database_verified",
    ]


async def test_without_the_watch_a_slot_is_confirmed_twice(servers: Servers) -> None:
    """Control: where nobody looks after the index, the same slot is confirmed to two patients."""
    answers, _ = await book_twice_without_the_index(servers, without="no_index_check")
    assert [answer.status for answer in answers] == [201, 201]
