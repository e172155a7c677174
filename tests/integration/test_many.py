"""A batch message carries many commands; each command is executed and answered independently."""

import asyncio
import json
import signal
import time
from collections import Counter
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from shared.contract.operations import BOOK, PLACE
from tests.callers import NatsCaller
from tests.integration.many import alone, ask, ask_many, statuses
from tests.integration.test_logs import REQUEST_ID
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import wait_until

MANY = [BOOK.many_subject, PLACE.many_subject]
DONE = {BOOK.many_subject: 201, PLACE.many_subject: 200}
PASSED = int(time.time() * 1000) - 1


@pytest.mark.parametrize("subject", MANY)
async def test_replies_come_in_the_order_of_the_commands(nats_connection: Client, subject: str) -> None:
    """The replies to a full batch of 128 commands are in the order of its commands."""
    bodies = [fresh(resources=[f"room-{number}"]) for number in range(128)]
    replies = await ask_many(nats_connection, subject, alone(*bodies))
    kept = [reply["body"].get("appointment") or reply["body"]["hold"] for reply in replies]
    assert set(statuses(replies)) == {DONE[subject]}
    assert [(row["site"], row["resources"]) for row in kept] == [
        (body["site"], body["resources"]) for body in bodies
    ]


@pytest.mark.parametrize("subject", MANY)
async def test_a_duplicate_field_refuses_only_its_own_command(nats_connection: Client, subject: str) -> None:
    """A command or envelope with a duplicate field is refused alone; a duplicate `commands` refuses all."""
    one, two, other = (json.dumps({"command": fresh()}) for _ in range(3))
    repeated = [one[:-2] + ',"slot":"2031-05-04T10:00Z"}}', one[:-1] + "," + two[1:]]
    for wrong, name in zip(repeated, ("slot", "command"), strict=True):
        answer = await ask(nats_connection, subject, f'{{"commands":[{wrong},{other}]}}'.encode())
        refused, done = answer["replies"]
        assert (refused["status"], refused["body"]) == (400, {"error": f"Duplicate field {name}"})
        assert done["status"] == DONE[subject]
        other = json.dumps({"command": fresh()})
    twice = f'{{"commands":[{one}],"commands":[{two}]}}'.encode()
    answer = await ask(nats_connection, subject, twice)
    assert (answer["status"], answer["body"]) == (400, {"error": "Duplicate field commands"})


@pytest.mark.parametrize("subject", MANY)
async def test_a_bad_command_of_a_batch_is_refused_alone(nats_connection: Client, subject: str) -> None:
    """An invalid command, field, deadline or envelope of a batch is refused alone."""
    large = fresh("x" * 16 * 1024)
    collapsible = fresh(f"A{' ' * 16 * 1024}B")  # valid once its white space is collapsed
    bad: list[tuple[Any, int, str]] = [
        ({"command": {"slot": "2031-05-04T09:00:00Z"}}, 400, "Missing slot or patientName"),
        ({"command": fresh(surprise=1)}, 400, "Unknown field surprise"),
        ({"command": fresh(slot="soon")}, 400, "slot must be an ISO 8601 time"),
        *(({"command": body}, 413, "Request is larger than 16 KiB") for body in (large, collapsible)),
        ({"command": []}, 400, "Body must be a JSON object"),
        ({}, 400, "Missing command"),
        (7, 400, "Body must be a JSON object"),
        ({"command": fresh(), "surprise": 1}, 400, "Unknown field surprise"),
        *(
            ({"command": fresh(), "deadline": deadline}, 400, "deadline must be a Unix time in milliseconds")
            for deadline in ("soon", -1, 1.5, True, 10**20, "1764928800000")
        ),
    ]
    mixed = [item for command, *_ in bad for item in (command, {"command": fresh()})]
    replies = await ask_many(nats_connection, subject, mixed)
    assert set(statuses(replies[1::2])) == {DONE[subject]}
    for reply, (_, status, sentence) in zip(replies[::2], bad, strict=True):
        assert (reply["status"], reply["body"]["error"][: len(sentence)]) == (status, sentence)
        assert reply["headers"]["Error-Type"] == {400: "InvalidRequest", 413: "TooLarge"}[status]


@pytest.mark.parametrize("subject", MANY)
async def test_each_command_has_its_own_deadline(nats_connection: Client, subject: str) -> None:
    """A command past its deadline gets 503 and books nothing; the rest of its batch is executed."""
    late, ahead = fresh(), int(time.time() * 1000) + 60_000
    commands = [
        {"command": fresh(), "deadline": ahead},
        {"command": late, "deadline": PASSED},
        {"command": fresh(), "deadline": None},
    ]
    replies = await ask_many(nats_connection, subject, commands)
    assert statuses(replies) == [DONE[subject], 503, DONE[subject]]
    assert replies[1]["body"]["outcome"] == "not_executed"
    assert replies[1]["headers"] == {"Error-Type": "DeadlinePassed", "Retry-After": "1"}
    assert statuses(await ask_many(nats_connection, subject, alone(late))) == [DONE[subject]]


async def test_the_deadline_of_a_message_limits_all_its_commands(nats_connection: Client) -> None:
    """A command cannot have a later deadline than its message."""
    ahead = int(time.time() * 1000) + 60_000
    commands = [{"command": fresh()}, {"command": fresh(), "deadline": ahead}]
    payload = json.dumps({"commands": commands}).encode()
    reply = await nats_connection.request(
        BOOK.many_subject, payload, timeout=20, headers={"Deadline": str(PASSED)}
    )
    assert statuses(json.loads(reply.data)["replies"]) == [503, 503]


async def test_rivals_in_one_batch_have_one_winner(nats_connection: Client) -> None:
    """If commands of a batch compete for one slot, one gets it and the rest get 409."""
    body = fresh()
    rivals = [{**body, "patientName": f"Patient {number}"} for number in range(40)]
    for subject in (PLACE.many_subject, BOOK.many_subject):
        replies = await ask_many(nats_connection, subject, alone(*rivals))
        assert Counter(statuses(replies)) == {DONE[subject]: 1, 409: 39}


async def test_an_idempotency_key_works_in_a_batch(nats_connection: Client, nats_caller: NatsCaller) -> None:
    """A retry in a batch of a single command gets the same booking, and is marked as a replay."""
    body = fresh(idempotencyKey="one")
    first = await nats_caller.book(body)
    again, other = await ask_many(
        nats_connection, BOOK.many_subject, alone(body, {**body, "patientName": "Grace"})
    )
    assert (again["status"], again["body"]) == (201, first.body)
    assert again["headers"] == {"ETag": '"1"', "Idempotency-Replayed": "true"}
    assert (other["status"], other["headers"]) == (422, {"Error-Type": "KeyReused"})


@pytest.mark.parametrize("subject", MANY)
@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ({"commands": []}, "commands must be a list of 1 to 128 commands"),
        ({"commands": alone(*[{}] * 129)}, "commands must be a list of 1 to 128 commands"),
        ({"commands": {"command": {}}}, "commands must be a list of 1 to 128 commands"),
        ({"commands": alone({}), "surprise": 1}, "Unknown field surprise"),
        ({}, "Missing commands"),
        (b"", "Missing commands"),
        (b"{", "Body is not valid JSON"),
        ([], "Body must be a JSON object"),
    ],
)
async def test_an_invalid_batch_is_refused_as_a_whole(
    nats_caller: NatsCaller, subject: str, message: object, sentence: str
) -> None:
    """If a batch itself is invalid, no command is executed and its sender gets one refusal."""
    answer = await nats_caller.request(subject, message)
    assert (answer.status, answer.error) == (400, sentence)
    assert answer.headers["error-type"] == "InvalidRequest"


async def test_a_malformed_deadline_of_a_batch_is_refused(nats_caller: NatsCaller) -> None:
    """A malformed `Deadline` header of a batch gets 400, as that of a single command does."""
    answer = await nats_caller.request(BOOK.many_subject, {"commands": alone(fresh())}, {"Deadline": "soon"})
    assert answer.status == 400
    assert answer.error.startswith("Deadline")


async def test_a_batch_without_a_reply_subject_is_executed(nats_connection: Client) -> None:
    """The commands of a batch without a reply subject are executed."""
    bodies = [fresh() for _ in range(3)]
    await nats_connection.publish(BOOK.many_subject, json.dumps({"commands": alone(*bodies)}).encode())
    async with asyncio.timeout(20):
        while True:
            holds = alone(*({**body, "holdToken": "00000000-0000-4000-8000-000000000000"} for body in bodies))
            if set(statuses(await ask_many(nats_connection, PLACE.many_subject, holds))) == {409}:
                break


async def test_each_command_of_a_batch_has_its_request_id_in_the_log(servers: Servers) -> None:
    """One log line has the request ids of all executed commands of a batch; every refusal has its own line.

    The lines have the subject, the status and the time, and no name.
    """
    ids = [f"{REQUEST_ID}-{number}" for number in range(3)]
    body = fresh("Zebra-Canary")
    commands = [
        {"command": body, "requestId": ids[0]},
        {"command": body, "requestId": ids[1]},
        {"command": {**body, "Zebra-Canary": 1}, "requestId": ids[2]},
        {"command": fresh("Zebra-Canary"), "requestId": "Zebra-Canary"},
        {"command": fresh("Zebra-Canary"), "requestId": {"Zebra-Canary": 1}},
    ]
    with servers.new_stack(LOG_LEVEL="debug") as stack:
        worker = stack.start("booking_worker")
        stack.wait_serving()
        async with await nats.connect(stack.env["NATS_URL"]) as connection:
            replies = await ask_many(connection, BOOK.many_subject, commands)
            await ask(connection, BOOK.many_subject, {"commands": [], "Zebra-Canary": 1})
        wait_until(lambda: worker.log.count('"answered"') == 4, "all commands are logged")
        text = worker.log
    lines = [json.loads(line) for line in text.splitlines()]
    answered = [line for line in lines if line["event"] == "answered"]
    (done,) = (line for line in answered if "request_ids" in line)
    by_id = {line["request_id"]: line for line in answered if line is not done}
    assert done["statuses"] == {"201": 3}
    assert statuses(replies) == [201, 409, 400, 201, 201]
    assert ids[0] in done["request_ids"]
    assert len(set(done["request_ids"])) == 3, "no two commands share an id"
    assert [by_id[id]["status"] for id in ids[1:]] == [409, 400]
    assert {line["subject"] for line in answered} == {BOOK.many_subject}
    assert all(line["ms"] >= 0 for line in answered)
    assert len(by_id) == 3, "no two commands share an id"
    assert "Zebra-Canary" not in text
    assert "Zebra-Canary" not in json.dumps([reply for reply in replies if reply["status"] >= 400])


async def test_a_stopped_worker_answers_its_batches(servers: Servers) -> None:
    """A worker that gets SIGTERM with batches in flight executes every command and answers every batch."""
    with servers.new_stack() as stack:
        stopped = stack.start("booking_worker", without="slow_store")
        stack.start("booking_worker")
        stack.wait_serving()
        async with await nats.connect(stack.env["NATS_URL"]) as connection:
            ahead = int(time.time() * 1000) + 60_000
            first_answered = asyncio.Event()

            async def book_forty() -> list[dict[str, Any]]:
                commands = [{"command": fresh(), "deadline": ahead} for _ in range(40)]
                replies = await ask_many(connection, BOOK.many_subject, commands)
                first_answered.set()
                return replies

            asked = [asyncio.create_task(book_forty()) for _ in range(15)]
            await first_answered.wait()
            stopped.send(signal.SIGTERM)
            exit_code = await asyncio.to_thread(stopped.wait)
            answers = await asyncio.gather(*asked)
    assert Counter(status for replies in answers for status in statuses(replies)) == {201: 600}
    assert exit_code == 0
