"""Send one request over NATS, and turn its failure into a refusal; the ids of requests."""

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
    """Send a message, and wait for its answer for at most `seconds`.

    Returns:
        The payload and the headers of the answer.

    Raises:
        NoResponders: the message reached no worker.
        NotExecuted: the message cannot reach a worker, because the connection is permanently closed.
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
    """Return the `request_id` of the log context, or None if it is not a valid id.

    Only valid ids are returned, because they are inserted into messages without escaping.
    """
    bound = structlog.contextvars.get_contextvars().get("request_id")
    return str(bound) if is_request_id(str(bound)) else None


def request_id_header() -> dict[str, str]:
    """Return the header `X-Request-Id` of a message, or no header without a bound request id."""
    return {REQUEST_ID: request_id} if (request_id := bound_request_id()) else {}
