"""Read the headers of NATS messages, and answer messages."""

from collections.abc import Mapping
from typing import Any

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError

from shared.contract.envelope import Reply, refusal
from shared.contract.errors import InvalidRequest, OutcomeUnknown, TooLarge
from shared.process.nats_headers import REPEATED
from shared.process.nats_wire import MALFORMED, TOO_LONG

log = structlog.get_logger()


def in_lower_case(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers by lower-case name. Values are joined if their names differ only in case."""
    lower: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        lower[key] = f"{lower[key]}{REPEATED}{value}" if key in lower else value
    return lower


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse a message whose headers could not be parsed.

    Raises:
        TooLarge: the headers are too long.
        InvalidRequest: the headers are malformed.
    """
    match headers.get(MALFORMED):
        case None:
            return
        case reason if reason == TOO_LONG:
            raise TooLarge
        case _:
            raise InvalidRequest("The headers cannot be read")


async def send(message: Msg, reply: Reply[Any]) -> None:
    """Send a reply, if the message has a reply subject."""
    await respond(message, *reply.to_wire())


async def respond(message: Msg, payload: bytes, headers: dict[str, str] | None = None) -> None:
    """Send an encoded reply, if the message has a reply subject."""
    if not message.reply:
        return
    message.headers = headers or None  # nats-py sends the headers of the message
    try:
        await message.respond(payload)
    except MaxPayloadError:
        await send(message, refusal(OutcomeUnknown()))
    except NatsError as error:
        log.error("reply_not_sent", error=type(error).__name__)
