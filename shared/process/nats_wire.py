"""Contain all use of private parts of nats-py.

- `_process_msg`, `_process_headers`, `_ps` (its `Parser`), `_read_loop`: at any exception nats-py stops
  reading permanently, and still reports that it is connected. One message with a malformed header block or
  reply subject would make a process deaf. `GuardedClient` drops such a message, or delivers it marked, and
  reconnects if reading ends.
- `_send_unsubscribe`, `_send_subscribe`: the public `Subscription.unsubscribe` ends the task that delivers
  the received messages (at once, or at the limit), and no public method subscribes again with the same id.
  Credit and drain need both without ending that task.
- `_send_ping`, `_flush_queue`: the public `flush` writes its PING before commands that wait to be written,
  returns at once if NATS is away, and ends the read loop if it was cancelled or timed out before its PONG
  (`_process_pong` sets the result of a completed future). `_flush_pending` swallows cancellation.
- `_remove_sub`: after a reconnect the client subscribes again to all its subscriptions. This removes one of
  them; its received messages are still delivered.
- `_pending_queue`: shows when all received messages were delivered. The public `Subscription.drain` removes
  the subscription after one round trip, and NATS may send more after that.
- `_reading_task`, `_pings_outstanding`: show whether the client still reads, and NATS still answers.
- `_cb`: the callback of a subscription, which is FastStream's. A message that bypasses it costs far less.
- `_process_info`, `_current_server`: nats-py trusts a server that says, before TLS begins, that it needs no
  TLS. Then even a client of a `tls://` URL would send its credentials in plain text.
- `_conn`, `_id`: a subscription's connection, and its id in the protocol.

A new minor version of nats-py may change any of them: pyproject.toml admits it once the tests of this module
pass with it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionReconnectingError, ProtocolError
from nats.protocol.parser import Parser

from .nats_headers import Malformed, TooLong, read_headers

LOOK_SECONDS = 0.5
LOG_SECONDS = 1.0
MOST_PINGS_UNANSWERED = 2
LONGEST_REPLY_SUBJECT = 1024
"""In bytes. A reply to a longer subject might not fit into a protocol line, and would end the connection."""
MALFORMED = "malformed header block"
"""Marks a message whose headers cannot be parsed; no real header has blanks in its name."""
TOO_LONG = "too long"
_CRLF = b"\r\n"

log = structlog.get_logger()


class NotEncrypted(ConnectionError):
    """The server, or someone between, offers no TLS, and this client must use it."""


class GuardedClient(Client):
    """A NATS client that no message can stop, and that never leaves out the TLS that it was configured for.

    With `deliver_malformed`, a message with a malformed header block is delivered with the single header
    `MALFORMED`, so that it can be answered. All other malformed input is dropped, and `on_dropped` is called.
    """

    def __init__(
        self, *, deliver_malformed: bool = False, on_dropped: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__()
        self._ps = _GuardedParser(self)
        self._deliver_malformed = deliver_malformed
        self._on_dropped = on_dropped
        self._log_again_at = 0.0

    @property
    def is_reading(self) -> bool:
        """Return whether the client is connected, NATS answers its pings, and the read loop runs."""
        task: asyncio.Task[None] | None = self._reading_task
        answers = self._pings_outstanding < MOST_PINGS_UNANSWERED
        return self.is_connected and answers and task is not None and not task.done()

    def drop(self, error: Exception) -> None:
        """Count a dropped message, and log it at most once a second."""
        self._on_dropped()
        if time.monotonic() >= self._log_again_at:
            self._log_again_at = time.monotonic() + LOG_SECONDS
            log.warning("nats_message_dropped", error=type(error).__name__)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        scheme = self._current_server.uri.scheme if self._current_server else ""
        secure = scheme == "wss" or (scheme != "ws" and info.get("tls_required"))
        if initial_connection and (scheme == "tls" or "tls" in self.options) and not secure:
            raise NotEncrypted("NATS offers no TLS")
        await super()._process_info(info, initial_connection)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        try:
            if len(reply) > LONGEST_REPLY_SUBJECT:
                raise Malformed
            await super()._process_msg(sid, subject, reply, data, headers or b"")
        except Exception as error:
            self.drop(error)

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        if not headers:
            return None
        try:
            return read_headers(headers) or None
        except Malformed as error:
            if not self._deliver_malformed:
                raise
            return {MALFORMED: TOO_LONG if isinstance(error, TooLong) else ""}

    async def _read_loop(self) -> None:
        await super()._read_loop()
        if self.is_connected:  # neither closed nor reconnecting
            log.error("nats_reading_ended", effect="connects again")
            await self.force_reconnect()


class _GuardedParser(Parser):
    """Parses the protocol as the server writes it: one blank separates the fields of a line.

    nats-py separates them at any white space, and misreads a reply subject with a vertical tab as the end of
    the protocol. All other lines are left to nats-py, one at a time.
    """

    def reset(self) -> None:
        super().reset()
        self._unread = bytearray()
        self._message: tuple[bytes, int, bytes, int, int] | None = None
        """Subject, id, reply subject, header size and total size of the message whose payload comes next."""

    async def parse(self, data: bytes = b"") -> None:
        self._unread += data
        while self._unread:
            if self._message is not None:
                if not await self._take_payload(*self._message):
                    return
            elif (end := self._unread.find(_CRLF)) < 0:
                return
            else:
                line = bytes(self._unread[: end + len(_CRLF)])
                del self._unread[: len(line)]
                await self._take_line(line)

    async def _take_payload(
        self, subject: bytes, sid: int, reply: bytes, header_size: int, size: int
    ) -> bool:
        """Process the payload if all of it has arrived; return whether it has."""
        if len(self._unread) < size + len(_CRLF):
            return False
        headers, payload = bytes(self._unread[:header_size]), bytes(self._unread[header_size:size])
        del self._unread[: size + len(_CRLF)]
        self._message = None
        await self.nc._process_msg(sid, subject, reply, payload, headers)
        return True

    async def _take_line(self, line: bytes) -> None:
        operation, *fields = line[: -len(_CRLF)].split(b" ")
        if operation in (b"MSG", b"HMSG"):
            self._message = _read_fields(fields, has_headers=operation == b"HMSG")
            return
        try:
            await super().parse(line)
        except (ProtocolError, OSError):
            raise
        except Exception as error:
            self.nc.drop(error)
        finally:
            self.buf.clear()


def _read_fields(fields: list[bytes], *, has_headers: bool) -> tuple[bytes, int, bytes, int, int]:
    sizes = 2 if has_headers else 1
    try:
        subject, sid, *reply = fields[:-sizes]
        header_size, size = int(fields[-2]) if has_headers else 0, int(fields[-1])
        return subject, int(sid), reply[0] if reply else b"", header_size, size
    except (ValueError, IndexError):
        raise ProtocolError("nats: malformed MSG") from None


def connection_of(subscription: Subscription) -> Client:
    """Return the connection that a subscription belongs to."""
    connection: Client = subscription._conn
    return connection


async def unsubscribe(subscription: Subscription, *, after: int = 0) -> None:
    """Have NATS send no more messages, or no more than `after` in total since the subscription began."""
    await subscription._conn._send_unsubscribe(subscription._id, after)


async def subscribe_again(subscription: Subscription, *, limit: int) -> None:
    """Subscribe again with the same id and a new limit, even if the subscription still stands."""
    await unsubscribe(subscription)
    await subscription._conn._send_subscribe(subscription)
    await unsubscribe(subscription, after=limit)


def forget(subscription: Subscription) -> None:
    """Do not subscribe again after a reconnect; received messages are still delivered."""
    subscription._conn._remove_sub(subscription._id)


def deliver_to(subscription: Subscription, take: Callable[[Msg], Awaitable[None]]) -> None:
    """Pass further messages to `take` instead of the callback that the subscription was made with."""
    assert subscription._cb is not None  # noqa: S101 - FastStream subscribes with one
    subscription._cb = take


async def handed_out(subscription: Subscription) -> None:
    """Wait until all received messages were delivered."""
    await subscription._pending_queue.join()


async def round_trip(connection: Client) -> None:
    """Wait until NATS has read everything that was sent before this call, and has answered.

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
            await asyncio.wait({done}, timeout=LOOK_SECONDS)  # `wait` does not cancel the future

    loop = asyncio.get_running_loop()
    written, pong = loop.create_future(), loop.create_future()
    assert connection._flush_queue is not None  # noqa: S101 - the client has connected
    await connection._flush_queue.put(written)
    await wait_for(written)
    await connection._send_ping(pong)
    await wait_for(pong)
