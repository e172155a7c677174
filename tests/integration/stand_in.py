"""A stand-in for a worker: the test itself answers messages on NATS.

The clients have `PATIENCE`, so that a slow machine makes no attempt late. Where an attempt is to be late, the
clock of the event loop skips to its deadline.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats
from nats.aio.msg import Msg

from shared.client.command_client import CommandClient
from shared.contract.errors import Refused
from shared.contract.headers import DEADLINE
from shared.contract.operations import BOOK, OPERATIONS
from shared.process.nats_wire import round_trip
from tests.integration.loop_clock import LoopClock, skipping
from tests.servers import Servers

MANY = {operation.many_subject for operation in OPERATIONS if operation.batched}
NO_RESPONDERS = b""
PATIENCE = 30.0
Replies = list[bytes | None]

BOOKED = (
    b'{"status":201,"body":{"message":"Booking confirmed","appointment":{"id":"4711","site":"default",'
    b'"resources":["default"],'
    b'"slot":"2031-05-04T09:00:00.000Z","patientName":"Ada","status":"booked","version":1,'
    b'"createdAt":"2031-05-04T09:00:00.000Z"}}}'
)


def refusal(error: Refused) -> bytes:
    """Return a worker's reply to a command that it refuses."""
    body = error.body.model_dump_json(exclude_none=True)
    return b'{"status":%d,"body":%b,"headers":{"Error-Type":"%b"}}' % (
        error.status,
        body.encode(),
        type(error).__name__.encode(),
    )


def items_of(message: Msg) -> list[dict[str, Any]]:
    """Return the items of a batch: commands with deadlines and request ids."""
    items: list[dict[str, Any]] = json.loads(message.data)["commands"]
    return items


async def answer_in_order(message: Msg, *replies: bytes) -> None:
    """Answer a batch with one reply for each command, in their order."""
    await message.respond(b'{"replies":[%b]}' % b",".join(replies))


async def answer_all(message: Msg, reply: bytes) -> None:
    """Answer every command of a batch with the same reply."""
    await answer_in_order(message, *[reply] * len(items_of(message)))


async def answer_no_responders(message: Msg) -> None:
    """Send the 503 that NATS itself sends if no worker is subscribed."""
    await message._client.publish(message.reply, headers={"Status": "503"})


def deadline_of(message: Msg) -> int:
    """Return the deadline of an attempt, or of the first item of a batch, in Unix milliseconds."""
    if message.subject in MANY:
        return int(items_of(message)[0]["deadline"])
    assert message.headers
    return int(message.headers[DEADLINE])


async def reply_to(message: Msg, reply: bytes) -> None:
    """Answer an attempt, or every command of a batch, with a reply or with NO_RESPONDERS."""
    if reply == NO_RESPONDERS:
        await answer_no_responders(message)
    elif message.subject in MANY:
        await answer_all(message, reply)
    else:
        await message._client.publish(message.reply, reply, headers=json.loads(reply).get("headers"))


def command_of(message: Msg) -> dict[str, Any]:
    """Return the command of an attempt, or the first item of a batch."""
    command: dict[str, Any] = items_of(message)[0] if message.subject in MANY else json.loads(message.data)
    return command


async def outcomes_since(client: CommandClient, before: Counter[tuple[str, str]]) -> set[str]:
    """Wait until a client has received an answer, and return the outcomes of its attempts since `before`."""
    while True:
        if outcomes := {outcome for _, outcome in client.statistics.attempts - before}:
            return outcomes
        await asyncio.sleep(0.001)


@asynccontextmanager
async def standing_in(
    servers: Servers, subject: str, replies: list[bytes], met: list[dict[str, Any]] | None = None
) -> AsyncIterator[str]:
    """Yield the URL of a NATS on which attempts get these replies in turn, as the first answer of each.

    `met` receives the command of an attempt, or the first item of a batch.
    """
    turns = iter(replies)

    async def answer(message: Msg) -> None:
        if met is not None:
            met.append(command_of(message))
        await reply_to(message, next(turns))

    with servers.new_stack() as stack:
        async with await nats.connect(stack.env["NATS_URL"]) as connection:
            await connection.subscribe(subject, cb=answer)
            await round_trip(connection)
            yield stack.env["NATS_URL"]


@asynccontextmanager
async def attempts_of(
    servers: Servers, *, subject: str = BOOK.many_subject
) -> AsyncIterator[tuple[CommandClient, "asyncio.Queue[Msg]", LoopClock]]:
    """Yield a client, a queue of the messages that its attempts send on a subject, and its clock."""
    met: asyncio.Queue[Msg] = asyncio.Queue()
    with servers.new_stack() as stack:
        async with await nats.connect(stack.env["NATS_URL"]) as connection:
            await connection.subscribe(subject, cb=met.put)
            await round_trip(connection)
            with skipping() as clock:
                async with CommandClient(stack.env["NATS_URL"], timeout=PATIENCE) as client:
                    yield client, met, clock


@asynccontextmanager
async def answering(
    servers: Servers,
    subject: str,
    replies: Replies,
    met: list[dict[str, Any]] | None = None,
    *,
    takes: float = 0,
) -> AsyncIterator[CommandClient]:
    """Yield a client whose attempts get these replies in turn, and are removed from `replies` with them.

    After an attempt without an answer, or with one that leaves its outcome unknown, the time passes until its
    deadline; after the last attempt, until the client gives up.

    Args:
        servers: the servers.
        subject: the subject of the attempts.
        replies: None sends nothing; NO_RESPONDERS sends the 503 of NATS itself.
        met: receives the command of an attempt, or the first item of a batch.
        takes: the seconds that pass before each answer.
    """
    async with attempts_of(servers, subject=subject) as (client, messages, clock):

        async def answer(message: Msg) -> None:
            if met is not None:
                met.append(command_of(message))
            deadline = clock.at(deadline_of(message))
            reply = replies.pop(0)
            outcomes: set[str] = set()
            if reply is not None:
                before = client.statistics.attempts.copy()
                clock.skip(takes)
                await reply_to(message, reply)
                outcomes = await outcomes_since(client, before)
            if not replies:
                clock.skip(PATIENCE)
            elif reply is None or "unknown" in outcomes:
                clock.skip_to(deadline)

        async def answer_in_turn() -> None:
            while replies:
                await answer(await messages.get())

        answers = asyncio.create_task(answer_in_turn())
        try:
            yield client
        finally:
            answers.cancel()
            await asyncio.wait({answers})
            assert answers.cancelled() or not answers.exception(), answers.exception()
