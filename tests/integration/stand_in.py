"""What a test says in the place of a worker."""

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
NOBODY = b""
PATIENCE = 1.5
Replies = list[bytes | None]

BOOKED = (
    b'{"status":201,"body":{"message":"Booking confirmed","appointment":{"id":"4711","site":"default",'
    b'"resources":["default"],'
    b'"slot":"2031-05-04T09:00:00.000Z","patientName":"Ada","status":"booked","version":1,'
    b'"createdAt":"2031-05-04T09:00:00.000Z"}}}'
)


def refusal(error: Refused) -> bytes:
    """What a worker answers to a command that it refuses."""
    body = error.body.model_dump_json(exclude_none=True)
    return b'{"status":%d,"body":%b,"headers":{"Error-Type":"%b"}}' % (
        error.status,
        body.encode(),
        type(error).__name__.encode(),
    )


def items_of(message: Msg) -> list[dict[str, Any]]:
    """What a message carries: each a command with its deadline and the id of its request."""
    items: list[dict[str, Any]] = json.loads(message.data)["commands"]
    return items


async def answer_each(message: Msg, *replies: bytes) -> None:
    """Answer a message with a reply for each of its commands, in this order."""
    await message.respond(b'{"replies":[%b]}' % b",".join(replies))


async def answer_all(message: Msg, reply: bytes) -> None:
    """Answer all commands of a message with the same."""
    await answer_each(message, *[reply] * len(items_of(message)))


async def say_that_nobody_is_there(message: Msg) -> None:
    """What NATS itself answers where no worker is subscribed."""
    await message._client.publish(message.reply, headers={"Status": "503"})


@asynccontextmanager
async def standing_in(
    servers: Servers, subject: str, replies: Replies, met: list[dict[str, Any]] | None = None
) -> AsyncIterator[str]:
    """The URL of a NATS where attempts get these replies in turn: None is silence, NOBODY NATS itself.

    `met` becomes what the attempts carried: of messages of many, their first item.
    """
    many = subject in MANY

    async def answer(message: Msg) -> None:
        if met is not None:
            met.append(items_of(message)[0] if many else json.loads(message.data))
        if (reply := replies.pop(0)) is None:
            return
        if not reply:
            await say_that_nobody_is_there(message)
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
    """A client whose attempts are answered so, within 0.6 s."""
    async with standing_in(servers, subject, replies, met) as url, CommandClient(url, timeout=0.6) as client:
        yield client


@asynccontextmanager
async def attempts_of(
    servers: Servers, *, subject: str = BOOK.many_subject, patience: float = PATIENCE
) -> AsyncIterator[tuple[CommandClient, "asyncio.Queue[Msg]"]]:
    """A client, and the messages that its attempts send on a subject."""
    met: asyncio.Queue[Msg] = asyncio.Queue()
    with servers.new_stack() as stack:
        async with await nats.connect(stack.env["NATS_URL"]) as connection:
            await connection.subscribe(subject, cb=met.put)
            await round_trip(connection)
            async with CommandClient(stack.env["NATS_URL"], timeout=patience) as client:
                yield client, met
