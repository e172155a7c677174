"""Every command is answered, concurrently: each in a task of its own, whatever happens."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

import structlog
from faststream import StreamMessage
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from pydantic import BaseModel

from shared.contract.commands import LARGEST_REQUEST, CommandT, parse_command
from shared.contract.deadline import Deadline
from shared.contract.errors import InvalidRequest, OutcomeUnknown, Refused, TooLarge
from shared.contract.headers import DEADLINE, IDEMPOTENCY_KEY, REQUEST_ID, accept_request_id
from shared.contract.replies import Reply, refusal
from shared.worker.nats_wire import REPEATED

MOST_IN_FLIGHT = 1000
FEW_IN_FLIGHT = 250

current_deadline: ContextVar[Deadline] = ContextVar("current_deadline")
"""The deadline of the command that the running task answers."""

log = structlog.get_logger()
Handler = Callable[[StreamMessage[Msg]], Awaitable[Any]]


class InFlightCommands:
    """The commands that a worker has in hand."""

    def __init__(self, *, longest_seconds: float) -> None:
        self._longest_seconds = longest_seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._few = asyncio.Event()

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

    async def wait_until_empty(self) -> None:
        """Wait until every command in hand is answered."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self.count <= FEW_IN_FLIGHT:
            self._few.set()

    async def _answer(self, handler: Handler, message: StreamMessage[Msg]) -> None:
        started = time.perf_counter()
        subject = message.raw_message.subject
        message.headers = in_lower_case(message.headers)
        request_id = accept_request_id(message.headers.get(REQUEST_ID.lower()))
        with structlog.contextvars.bound_contextvars(request_id=request_id, subject=subject):
            reply = await self._run(handler, message)
            await send(message.raw_message, reply)
            level = log.debug if subject.endswith(".ready") else log.info
            level("answered", status=reply.status, ms=round((time.perf_counter() - started) * 1000, 1))

    async def _run(self, handler: Handler, message: StreamMessage[Msg]) -> Reply[Any]:
        try:
            if len(message.body) > LARGEST_REQUEST:
                raise TooLarge
            deadline = Deadline.from_header(message.headers.get(DEADLINE.lower()), self._longest_seconds)
            deadline.check()
            current_deadline.set(deadline)
            reply: Reply[BaseModel] = await handler(message)
        except Refused as refused:
            return refusal(refused)
        except Exception:
            log.exception("command_failed")
            return refusal(OutcomeUnknown())
        return reply


def in_lower_case(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers by their names in lower case; values whose names differ in case alone are joined."""
    lower: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        lower[key] = f"{lower[key]}{REPEATED}{value}" if key in lower else value
    return lower


def decode(model: type[CommandT]) -> Callable[[StreamMessage[Msg]], Awaitable[CommandT]]:
    """A FastStream decoder that reads `model`, so that handlers get a valid command.

    Where the command has a key, the header `Idempotency-Key` says it as well as the field.
    """
    has_key = "idempotencyKey" in model.model_fields

    async def read(message: StreamMessage[Msg]) -> CommandT:
        key = message.headers.get(IDEMPOTENCY_KEY.lower()) if has_key else None
        if key is not None and REPEATED in key:
            raise InvalidRequest(f"{IDEMPOTENCY_KEY} was sent more than once")
        return parse_command(model, message.body, key)

    return read


async def send(message: Msg, reply: Reply[Any]) -> None:
    """Answer a message, if its sender waits for an answer."""
    if not message.reply:
        return
    payload, headers = reply.to_wire()
    message.headers = headers or None  # those that `respond` sends
    try:
        await message.respond(payload)
    except NatsError as error:
        log.error("reply_not_sent", error=type(error).__name__)
