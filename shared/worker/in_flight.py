"""Every command is answered, concurrently.

FastStream calls a handler with one message at a time, and sends no reply where one raises. This
middleware runs each command as a task of its own, turns whatever happens into a reply, and knows what
is still in hand. (FastStream's `max_workers` costs more than the whole handler, and a shutdown would
lose what waits in its buffer.)
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog
from faststream import BaseMiddleware, StreamMessage
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from pydantic import BaseModel

from shared.contract.commands import LARGEST_REQUEST, CommandT, parse_command
from shared.contract.deadline import DEADLINE_HEADER, Deadline, current_deadline
from shared.contract.errors import OutcomeUnknown, Refused, TooLarge
from shared.contract.replies import Reply, refusal
from shared.contract.request_id import HEADER as REQUEST_ID
from shared.contract.request_id import accept_request_id

MOST_IN_FLIGHT = 1000
FEW_IN_FLIGHT = 250

log = structlog.get_logger()
Handler = Callable[[StreamMessage[Msg]], Awaitable[Any]]


class InFlightCommands:
    """The commands that a worker has in hand."""

    def __init__(self, *, longest_seconds: float) -> None:
        self._longest_seconds = longest_seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._few = asyncio.Event()

    @property
    def middleware(self) -> Callable[..., BaseMiddleware]:
        """For `NatsBroker(middlewares=...)`; the subscribers must be declared with `no_reply=True`."""
        return partial(_StartInFlight, in_flight=self)

    @property
    def count(self) -> int:
        """How many commands are not answered yet."""
        return len(self._tasks)

    async def start(self, handler: Handler, message: StreamMessage[Msg]) -> None:
        """Begin to answer a command."""
        task = asyncio.create_task(self._answer(handler, message))
        self._tasks.add(task)
        task.add_done_callback(self._answered)

    async def wait_for_capacity(self) -> None:
        """Wait until there is a good deal of room again."""
        self._few.clear()
        if self.count > FEW_IN_FLIGHT:
            await self._few.wait()

    async def wait_until_empty(self, seconds: float) -> None:
        """Wait until every command in hand is answered, but no longer than that."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self.count <= FEW_IN_FLIGHT:
            self._few.set()

    async def _answer(self, handler: Handler, message: StreamMessage[Msg]) -> None:
        started = time.perf_counter()
        subject = message.raw_message.subject
        request_id = accept_request_id(message.headers.get(REQUEST_ID))
        with structlog.contextvars.bound_contextvars(request_id=request_id, subject=subject):
            reply = await self._run(handler, message)
            await send(message.raw_message, reply)
            level = log.debug if subject.endswith(".ready") else log.info
            level("answered", status=reply.status, ms=round((time.perf_counter() - started) * 1000, 1))

    async def _run(self, handler: Handler, message: StreamMessage[Msg]) -> Reply[Any]:
        try:
            if len(message.body) > LARGEST_REQUEST:
                raise TooLarge
            deadline = Deadline.from_header(message.headers.get(DEADLINE_HEADER), self._longest_seconds)
            deadline.check()
            current_deadline.set(deadline)
            reply: Reply[BaseModel] = await handler(message)
        except Refused as refused:
            return refusal(refused)
        except Exception:
            log.exception("command_failed")
            return refusal(OutcomeUnknown())
        return reply


class _StartInFlight(BaseMiddleware):
    def __init__(self, msg: Msg | None, /, *, context: Any, in_flight: InFlightCommands) -> None:
        super().__init__(msg, context=context)
        self._in_flight = in_flight

    async def consume_scope(self, call_next: Handler, msg: StreamMessage[Msg]) -> None:
        await self._in_flight.start(call_next, msg)


def decode(model: type[CommandT]) -> Callable[[StreamMessage[Msg]], Awaitable[CommandT]]:
    """A FastStream decoder that reads `model`, so that handlers get a valid command."""

    async def read(message: StreamMessage[Msg]) -> CommandT:
        return parse_command(model, message.body)

    return read


async def send(message: Msg, reply: Reply[Any]) -> None:
    """Answer a message, if its sender waits for an answer."""
    if not message.reply:
        return
    payload, headers = reply.to_wire()
    try:  # not `Msg.respond`, which cannot send headers
        await message._client.publish(message.reply, payload, headers=headers)
    except NatsError as error:
        log.error("reply_not_sent", error=type(error).__name__)
