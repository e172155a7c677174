"""Batches of commands, sent by plain nats-py and judged by their JSON alone."""

import json
from typing import Any

from nats.aio.client import Client

REPLY_SECONDS = 60.0


async def ask_many(connection: Client, subject: str, commands: list[Any]) -> list[dict[str, Any]]:
    """Send a batch and return its replies. `commands` may hold malformed items."""
    answer = await ask(connection, subject, {"commands": commands})
    assert set(answer) == {"replies"}, answer
    replies: list[dict[str, Any]] = answer["replies"]
    assert len(replies) == len(commands)
    for reply in replies:
        assert set(reply) == {"status", "body", "headers"}
    return replies


async def ask(connection: Client, subject: str, message: object) -> dict[str, Any]:
    """Send a whole message and return its answer."""
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    reply = await connection.request(subject, payload, timeout=REPLY_SECONDS)
    answer: dict[str, Any] = json.loads(reply.data)
    return answer


def alone(*commands: Any) -> list[dict[str, Any]]:
    """Wrap commands in batch items without a deadline or request id."""
    return [{"command": command} for command in commands]


def statuses(replies: list[dict[str, Any]]) -> list[int]:
    return [reply["status"] for reply in replies]
