"""Private parts of nats-py: all use of them stands here.

- `_process_msg`, `_process_headers`, `_ps` (its `Parser`), `_read_loop`: nats-py ends its reading for good at
  any exception, and says that it is connected. One message with a malformed header block or reply subject
  would make a process deaf. `GuardedClient` drops such a message, or delivers it marked, and connects again
  if its reading ends.
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
- `_reading_task`: tells whether the client still reads.
- `_cb`: the callback of a subscription, which is FastStream's; a message that passes it by costs a tenth.
- `_conn`, `_id`: a subscription's connection, and what NATS calls it.

A new minor version of nats-py may change any of them: it is allowed in pyproject.toml once the tests of this
module pass with it.
"""

import asyncio
import time
from collections.abc import Callable

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionReconnectingError, ProtocolError
from nats.protocol.parser import Parser

from .nats_headers import Malformed, TooLong, read_headers

LOOK_SECONDS = 0.5
LOG_SECONDS = 1.0
LONGEST_REPLY_SUBJECT = 1024
"""In bytes. An answer to a longer one might not fit into a line of the protocol, and cost the connection."""
MALFORMED = "malformed header block"
"""Marks a message whose headers cannot be read; no header has blanks in its name."""
TOO_LONG = "too long"
_CRLF = b"\r\n"

log = structlog.get_logger()


class GuardedClient(Client):
    """A client of NATS that no message can stop.

    With `deliver_malformed`, a message whose headers cannot be read is delivered with the one header
    `MALFORMED`, so that it can be answered. All else that cannot be read is dropped: `on_dropped` is called.
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
        """Whether it is connected, and what NATS sends is read."""
        task: asyncio.Task[None] | None = self._reading_task
        return self.is_connected and task is not None and not task.done()

    def drop(self, error: Exception) -> None:
        """Count what was dropped, and log it at most once a second."""
        self._on_dropped()
        if time.monotonic() >= self._log_again_at:
            self._log_again_at = time.monotonic() + LOG_SECONDS
            log.warning("nats_message_dropped", error=type(error).__name__)

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
        if self.is_connected:  # neither closed nor about to connect again
            log.error("nats_reading_ended", effect="connects again")
            await self.force_reconnect()


class _GuardedParser(Parser):
    """Splits what NATS sends as NATS writes it: fields of a line are parted by one blank.

    nats-py parts them by any white space, and takes a reply subject with a vertical tab for the end of the
    protocol. All other lines are left to nats-py, one at a time.
    """

    def reset(self) -> None:
        super().reset()
        self._unread = bytearray()
        self._message: tuple[bytes, int, bytes, int, int] | None = None
        """Subject, id, reply subject, and the sizes of the headers and of all, if its payload comes next."""

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
        """Whether it was there as a whole."""
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
    """The connection that a subscription belongs to."""
    connection: Client = subscription._conn
    return connection


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


def offer_first(subscription: Subscription, take: Callable[[Msg], bool]) -> None:
    """Hand out to the subscription's callback only what `take` does not take, which costs far less."""
    callback = subscription._cb
    assert callback is not None  # noqa: S101 - FastStream subscribes with one

    async def offer(message: Msg) -> None:
        if not take(message):
            await callback(message)

    subscription._cb = offer


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
