"""One request over NATS, and what became of it where there was no answer."""

from collections.abc import Mapping

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError, OutboundBufferLimitError

from ..contract.errors import NobodyThere, NotExecuted, OutcomeUnknown

UNREACHABLE = "The message queue cannot be reached; nothing was done"


async def request(
    connection: Client, subject: str, payload: bytes, seconds: float, headers: dict[str, str] | None = None
) -> tuple[bytes, Mapping[str, str]]:
    """Send a message, and wait `seconds` for its answer: payload and headers.

    Raises:
        NobodyThere: it reached no worker.
        NotExecuted: it never will: the connection is closed for good.
        OutcomeUnknown: no answer came.
    """
    if connection.is_closed:
        raise NotExecuted(UNREACHABLE)
    if not connection.is_connected:
        raise NobodyThere(UNREACHABLE)
    try:
        message = await connection.request(subject, payload, timeout=seconds, headers=headers)
    except NoRespondersError:
        raise NobodyThere from None
    except OutboundBufferLimitError:
        raise NobodyThere(UNREACHABLE) from None
    except NatsError:
        raise OutcomeUnknown from None
    return message.data, message.headers or {}
