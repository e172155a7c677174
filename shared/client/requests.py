"""One request over NATS: its ids, and what became of it where there was no answer."""

from collections.abc import Mapping

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError, OutboundBufferLimitError

from ..contract.errors import NoResponders, NotExecuted, OutcomeUnknown
from ..contract.headers import REQUEST_ID, is_request_id

UNREACHABLE = "The message queue cannot be reached; nothing was done"


async def request(
    connection: Client, subject: str, payload: bytes, seconds: float, headers: dict[str, str] | None = None
) -> tuple[bytes, Mapping[str, str]]:
    """Send a message, and wait `seconds` for its answer: payload and headers.

    Raises:
        NoResponders: it reached no worker.
        NotExecuted: it never will: the connection is closed for good.
        OutcomeUnknown: no answer came.
    """
    if connection.is_closed:
        raise NotExecuted(UNREACHABLE)
    if not connection.is_connected:
        raise NoResponders(UNREACHABLE)
    try:
        message = await connection.request(subject, payload, timeout=seconds, headers=headers)
    except NoRespondersError:
        raise NoResponders from None
    except OutboundBufferLimitError:
        raise NoResponders(UNREACHABLE) from None
    except NatsError:
        raise OutcomeUnknown from None
    return message.data, message.headers or {}


def bound_request_id() -> str | None:
    """What the program has bound to its log under that name, if it is one: it is written into messages."""
    bound = structlog.contextvars.get_contextvars().get("request_id")
    return str(bound) if is_request_id(str(bound)) else None


def identified() -> dict[str, str]:
    """The header of a message that belongs to a request."""
    return {REQUEST_ID: request_id} if (request_id := bound_request_id()) else {}
