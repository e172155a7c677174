"""The two calls that nearly all requests are, in as few steps as there can be.

The way of a booking, and why it takes these steps. The middleware (`gateway/middleware.py`) is the outermost
part of the gateway: it has read the body already, and calls what is here by itself. FastAPI's and Starlette's
own layers, the search for a route, and their objects for request and response would cost more than all the
rest of a booking. So headers are looked up among the bytes that came, and the answer is sent as bytes. The
body is validated once, for the caller's sake: a worker trusts nobody and does it again. The client then gives
it a key, without which it could not be repeated, and sends it with others (`shared/client/batches.py`), since
NATS and FastStream are paid for by the message. What comes back is JSON already: it is passed on, and read as
a model by nobody.

FastAPI declares and documents both calls (`gateway/routes/`), and answers them by the same functions.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from starlette.datastructures import State

from gateway.body import Headers, read_command, refuse_key
from gateway.preconditions import idempotency_key
from shared.client.command_client import CommandClient
from shared.contract.commands import BookAppointment, PlaceHold
from shared.contract.envelope import Reply
from shared.contract.errors import InvalidRequest
from shared.contract.replies import BookingConfirmed, HoldPlaced

BOOK, HOLD = "/api/book-appointment", "/api/hold-appointment"


class HotCall(NamedTuple):
    """One of the two; `path` is what the log calls its route."""

    path: str
    answer: Callable[[Headers, bytes], Awaitable[Reply[Any]]]


def hot_calls(state: State) -> dict[tuple[str, str], HotCall]:
    """Both, by their method and path, exactly; `state` has the client once the gateway has started."""
    return {
        ("POST", BOOK): HotCall(BOOK, lambda headers, body: book(state.client, headers, body)),
        ("POST", HOLD): HotCall(HOLD, lambda headers, body: hold(state.client, headers, body)),
    }


async def book(client: CommandClient, headers: Headers, body: bytes) -> Reply[BookingConfirmed]:
    """Book a slot."""
    command = read_command(BookAppointment, headers, body)
    if command.idempotencyKey is not None:
        raise InvalidRequest("Unknown field idempotencyKey")  # over HTTP it is a header
    if (key := idempotency_key(headers)) is not None:
        command = command.model_copy(update={"idempotencyKey": key})
    return await client.book(command)


async def hold(client: CommandClient, headers: Headers, body: bytes) -> Reply[HoldPlaced]:
    """Hold a slot."""
    refuse_key(headers)  # a hold is repeated by its token
    return await client.place_hold(read_command(PlaceHold, headers, body))
