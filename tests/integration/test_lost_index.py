"""The unique index of claims, dropped while a worker serves."""

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
    """Drop the index, wait until a worker that watches it notices, and book one slot for two patients.

    Bookings that get 503 are retried. Return the final answers, and the events that the worker logged since.
    """
    with servers.new_stack() as stack:
        stack.start_gateway()
        worker = stack.start("booking_worker", without=without)
        stack.start("hold_worker", without="no_index_check")
        stack.wait_ready()
        before = len(events(worker))
        drop_index(stack)
        if not without:
            await until(lambda: GONE in worker.log, "the worker notices the lost index")
        async with http_caller(stack) as caller:
            body, answers = fresh(), list[Answer]()
            for name in ("Ada", "Grace"):
                answers.append(await caller.book({**body, "patientName": name}))
                while answers[-1].status == 503:
                    answers[-1] = await caller.book({**body, "patientName": name})
        return answers, [str(event["event"]) for event in events(worker)[before:]]


async def test_a_worker_confirms_nothing_while_the_index_is_lost(servers: Servers) -> None:
    """A worker answers 503 from the moment it notices the lost index until it has recreated it."""
    answers, logged = await book_twice_without_the_index(servers, without="")
    assert [answer.status for answer in answers] == [201, 409]
    expected = ("answered", "subject_left", "subject_joined")
    assert [event for event in logged if event not in expected] == [
        "database_not_ready",
        "index_created",
        "database_verified",
    ]


async def test_without_the_index_check_a_slot_is_confirmed_twice(servers: Servers) -> None:
    """Control: without the check of the index, two patients get the same slot confirmed."""
    answers, _ = await book_twice_without_the_index(servers, without="no_index_check")
    assert [answer.status for answer in answers] == [201, 201]
