"""What a test says in the place of a worker, to messages of many commands."""

import json
from typing import Any

from nats.aio.msg import Msg

BOOKED = (
    b'{"status":201,"body":{"message":"Booking confirmed","appointment":{"id":"4711","site":"default",'
    b'"resources":["default"],'
    b'"slot":"2031-05-04T09:00:00.000Z","patientName":"Ada","status":"booked",'
    b'"createdAt":"2031-05-04T09:00:00.000Z"}}}'
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
