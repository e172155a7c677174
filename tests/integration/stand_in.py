"""A stand-in for a worker: the test itself answers messages on NATS."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats
from nats.aio.msg import Msg

from shared.client.command_client import CommandClient
from shared.contract.errors import Refused
from shared.contract.operations import BOOK, OPERATIONS
from shared.process.nats_wire import round_trip
from tests.servers import Servers

MANY = {operation.many_subject for operation in OPERATIONS if operation.batched}
NO_RESPONDERS = b""
PATIENCE = 1.5
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


@asynccontextmanager
async def standing_in(
    servers: Servers, subject: str, replies: Replies, met: list[dict[str, Any]] | None = None
) -> AsyncIterator[str]:
    """Yield the URL of a NATS on which attempts get these replies in turn.

    The reply None sends nothing; NO_RESPONDERS sends the 503 of NATS itself. `met` receives the command of an
    attempt, or the first item of a batch.
    """
    many = subject in MANY

    async def answer(message: Msg) -> None:
        if met is not None:
            met.append(items_of(message)[0] if many else json.loads(message.data))
        if (reply := replies.pop(0)) is None:
            return
        if not reply:
            await answer_no_responders(message)
        elif many:
            await answer_all(message, reply)
        else:
            await connection.publish(message.reply, reply, headers=json.loads(reply).get("headers"))

    with servers.new_stack() as stack:
        async with await nats.connect(stack.env["NATS_URL"]) as connection:
            await connection.subscribe(subject, cb=answer)
            await round_trip(connection)
            yield stack.env["NATS_URL"]


@asynccontextmanager
async def answering(
    servers: Servers, subject: str, replies: Replies, met: list[dict[str, Any]] | None = None
) -> AsyncIterator[CommandClient]:
    """Yield a client, with a timeout of 0.6 s, whose attempts get these replies."""
    async with standing_in(servers, subject, replies, met) as url, CommandClient(url, timeout=0.6) as client:
        yield client


@asynccontextmanager
async def attempts_of(
    servers: Servers, *, subject: str = BOOK.many_subject, patience: float = PATIENCE
) -> AsyncIterator[tuple[CommandClient, "asyncio.Queue[Msg]"]]:
    """Yield a client, and a queue of the messages that its attempts send on a subject."""
    met: asyncio.Queue[Msg] = asyncio.Queue()
    with servers.new_stack() as stack:
        async with await nats.connect(stack.env["NATS_URL"]) as connection:
            await connection.subscribe(subject, cb=met.put)
            await round_trip(connection)
            async with CommandClient(stack.env["NATS_URL"], timeout=patience) as client:
                yield client, met
