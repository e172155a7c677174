"""What a worker says to NATS below the client library: all use of private parts of nats-py stands here.

- `_send_unsubscribe`, `_send_subscribe`: the public `Subscription.unsubscribe` ends the task that hands out
  what has come already (at once, or where its limit is reached), and nothing public subscribes a second time
  under the same id. Credit and drain need both to leave that task alone.
- `_send_ping`, `_flush_queue`: the public `flush` writes its PING ahead of commands that wait to be written,
  returns at once where NATS is away, and ends the reading loop where it was cancelled or timed out before
  its PONG (`_process_pong` sets the result of a future that is done). `_flush_pending` swallows cancellation.
- `_remove_sub`: a client that has connected again subscribes to all that it had. That is how one
  subscription is left out, and what came for it is handed out all the same.
- `_pending_queue`: tells when all that has come was handed out; the public `Subscription.drain` forgets the
  subscription after one round trip, and NATS may send more after that.
- `_parse_header_lines`: of a header that was sent more than once the library keeps the last value alone.
- `_conn`, `_id`: a subscription's connection, and what NATS calls it.

A new minor version of nats-py may change any of them: it is allowed in pyproject.toml once the tests of this
module pass with it.
"""

import asyncio

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import ConnectionReconnectingError

LOOK_SECONDS = 0.5
REPEATED = "\n"
"""Between the values of a header that was sent more than once; no value has one in it."""


def connection_of(subscription: Subscription) -> Client:
    """The connection that a subscription belongs to."""
    connection: Client = subscription._conn
    return connection


def keep_repeated_headers(connection: Client) -> None:
    """Have the values of a header that was sent more than once joined by `REPEATED`."""
    connection._parse_header_lines = _parse_header_lines  # type: ignore[method-assign]


def _parse_header_lines(raw: bytes) -> dict[str, str]:
    headers = Client._parse_header_lines(raw)
    lines = raw.split(b"\r\n")
    if len(headers) == len(lines) - 2:  # the last two are empty
        return headers
    headers = {}
    for line in lines:
        for name, value in Client._parse_header_lines(line).items():
            headers[name] = f"{headers[name]}{REPEATED}{value}" if name in headers else value
    return headers


async def unsubscribe(subscription: Subscription, *, after: int = 0) -> None:
    """Have NATS send no more, or no more than `after` in all since it was subscribed."""
    await subscription._conn._send_unsubscribe(subscription._id, after)


async def subscribe_again(subscription: Subscription, *, limit: int) -> None:
    """Begin anew under the same id, with a new limit. Nobody notices where it was subscribed still."""
    await unsubscribe(subscription)
    await subscription._conn._send_subscribe(subscription)
    await unsubscribe(subscription, after=limit)


def forget(subscription: Subscription) -> None:
    """Do not subscribe again on the next connection; what has come is handed out all the same."""
    subscription._conn._remove_sub(subscription._id)


async def handed_out(subscription: Subscription) -> None:
    """Wait until all that has come was handed out."""
    await subscription._pending_queue.join()


async def round_trip(connection: Client) -> None:
    """Wait until NATS has read all that was sent before this call, and answered.

    Raises:
        ConnectionReconnectingError: the connection was lost before that.
    """
    reconnects = connection.stats["reconnects"]

    async def wait_for(done: asyncio.Future[bool]) -> None:
        while True:
            if not connection.is_connected or connection.stats["reconnects"] != reconnects:
                raise ConnectionReconnectingError
            if done.done():
                return
            await asyncio.wait({done}, timeout=LOOK_SECONDS)  # which leaves it alone when cancelled

    loop = asyncio.get_running_loop()
    written, pong = loop.create_future(), loop.create_future()
    assert connection._flush_queue is not None  # noqa: S101 - it is connected, or was
    await connection._flush_queue.put(written)
    await wait_for(written)
    await connection._send_ping(pong)
    await wait_for(pong)
