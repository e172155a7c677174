"""Every command is answered, concurrently, whatever happens: one that came alone, and each of many."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import structlog
from faststream import StreamMessage
from nats.aio.msg import Msg

from shared.contract.asked_at import accept_asked_at, read_asked_at, unix_ms_now
from shared.contract.commands import Command
from shared.contract.deadline import Deadline
from shared.contract.envelope import Reply, many_to_wire, refusal
from shared.contract.errors import OutcomeUnknown, Refused, TooLarge
from shared.contract.headers import ASKED_AT, DEADLINE, ERROR_TYPE, REQUEST_ID, accept_request_id
from shared.contract.log_fields import log_fields
from shared.contract.many import Many, size_of
from shared.contract.parsing import LARGEST_REQUEST, validate
from shared.contract.subjects import READS
from shared.worker.callers_clocks import CallersClocks
from shared.worker.in_flight import InFlightCommands
from shared.worker.messages import check_headers, in_lower_case, respond, send
from shared.worker.metrics import count_answer

FAILED = 500
"""From this status on an answer is a warning: not executed, or unknown."""

log = structlog.get_logger()
Handler = Callable[[StreamMessage[Msg]], Awaitable[Any]]
Execute = Callable[[], Awaitable[Reply[Any]]]


@dataclass(frozen=True, slots=True)
class Attempt:
    """How a command was sent: until when it may be started; `first` if it was certainly never sent before.

    `asked_at`: when its caller asked (Unix ms), the same in all attempts of a request.
    `alone`: no other command waits for its answer, which would travel with theirs.
    """

    deadline: Deadline
    asked_at: int
    first: bool = False
    alone: bool = True


current_attempt: ContextVar[Attempt] = ContextVar("current_attempt")
"""That of the command which the running task answers."""


@dataclass(frozen=True)
class Each:
    """What the handler of a message of many returns: its commands, not read yet, and what answers each."""

    many: Many[Any]
    use_case: Callable[[Any], Awaitable[Reply[Any]]]

    @property
    def commands(self) -> Sequence[Any]:
        return self.many.commands


@dataclass(frozen=True)
class _Decided:
    """A command that is decided, and what its line in the log says; `about` a refused one."""

    subject: str
    request_id: str
    reply: Reply[Any]
    seconds: float
    about: Mapping[str, Any]

    def log(self) -> None:
        level = log.debug if self.subject.endswith(".ready") else log.info
        if self.about and self.reply.status >= FAILED:
            level = log.warning
        level(
            "answered",
            request_id=self.request_id,
            subject=self.subject,
            status=self.reply.status,
            ms=round(self.seconds * 1000, 1),
            **self.about,
        )


class Answering:
    """Answers what a worker was sent. No deadline counts that is more than `longest_seconds` ahead."""

    def __init__(self, in_flight: InFlightCommands, *, longest_seconds: float) -> None:
        self._in_flight = in_flight
        self._longest_seconds = longest_seconds
        self._clocks = CallersClocks()

    async def start(self, handler: Handler, message: StreamMessage[Msg], *, counts: bool) -> None:
        """Begin to answer a command that came alone; whether it `counts` among those that take room."""
        message.headers = in_lower_case(message.headers)
        received_at = unix_ms_now()

        async def execute() -> Reply[Any]:
            check_headers(message.headers)
            if len(message.body) > LARGEST_REQUEST:
                raise TooLarge
            latest, asked_at = self._latest(message), _asked_at(message)
            self._clocks.note(received_at, asked_at, _deadline(message))
            attempt = Attempt(latest, accept_asked_at(asked_at, received_at))
            return await _execute(handler, message, attempt)

        self._in_flight.begin(self._answer(message, execute, counts=counts), commands=int(counts))

    async def start_many(self, handler: Handler, message: StreamMessage[Msg]) -> int:
        """Begin to answer each of many commands; how many there are. `handler` only reads the message.

        Their replies travel together, once all are decided. Where the message cannot be read, one refusal
        answers it.
        """
        message.headers = in_lower_case(message.headers)
        received_at = unix_ms_now()
        try:
            check_headers(message.headers)
            latest = self._latest(message)
            each: Each = await handler(message)
        except Exception as error:
            self._in_flight.begin(self._answer(message, _fail_with(error)))
            return 1
        self._in_flight.begin(
            self._answer_each(message, each, latest, received_at), commands=len(each.commands)
        )
        return len(each.commands)

    async def _answer(self, message: StreamMessage[Msg], execute: Execute, *, counts: bool = True) -> None:
        subject, request_id = message.raw_message.subject, message.headers.get(REQUEST_ID.lower())
        decided = await self._decide(subject, request_id, execute, time.perf_counter(), counts=counts)
        await send(message.raw_message, decided.reply)
        decided.log()

    async def _answer_each(
        self, message: StreamMessage[Msg], each: Each, latest: Deadline, received_at: int
    ) -> None:
        subject, started = message.raw_message.subject, time.perf_counter()
        all_small = len(message.body) <= LARGEST_REQUEST

        async def decide(sent: Any) -> _Decided:
            envelope = sent if isinstance(sent, dict) else {}

            async def execute() -> Reply[Any]:
                if not all_small and size_of(envelope.get("command")) > LARGEST_REQUEST:
                    raise TooLarge
                one = validate(each.many.one, sent)
                self._clocks.note(received_at, one.askedAt, one.deadline)
                deadline = latest if one.deadline is None else Deadline(min(one.deadline, latest.unix_ms))
                attempt = Attempt(
                    deadline,
                    accept_asked_at(one.askedAt, received_at),
                    first=one.first is True,
                    alone=len(each.commands) == 1,
                )
                return await _execute(each.use_case, one.command, attempt)

            return await self._decide(subject, envelope.get("requestId"), execute, started)

        decided = await asyncio.gather(*map(decide, each.commands))  # a task each
        await respond(message.raw_message, many_to_wire(one.reply for one in decided))
        for one in decided:
            one.log()

    async def _decide(
        self, subject: str, request_id: object, execute: Execute, started: float, *, counts: bool = True
    ) -> _Decided:
        """Decide a command, in a task that is its own."""
        accepted = accept_request_id(request_id if isinstance(request_id, str) else None)
        structlog.contextvars.bind_contextvars(request_id=accepted, subject=subject)
        about: Mapping[str, Any] = {}
        try:
            reply = await execute()
        except Refused as error:
            reply, about = refusal(error), _describe(error, error)
        except Exception as error:
            unknown = OutcomeUnknown(OutcomeUnknown.of_a_read if subject in READS else None)
            reply, about = refusal(unknown), _describe(unknown, error)
            log.exception("command_failed", **about)
        finally:
            if counts:
                self._in_flight.decided()
        seconds = time.perf_counter() - started
        count_answer(subject, reply.headers.get(ERROR_TYPE) or str(reply.status), seconds)
        return _Decided(subject, accepted, reply, seconds, about)

    def _latest(self, message: StreamMessage[Msg]) -> Deadline:
        """The deadline that a message's header says; none of its commands has a later one."""
        return Deadline.from_header(message.headers.get(DEADLINE.lower()), self._longest_seconds)


def _deadline(message: StreamMessage[Msg]) -> int | None:
    """The deadline as its caller says it, once it is known to be one."""
    value = message.headers.get(DEADLINE.lower())
    return int(value) if value is not None else None


def _asked_at(message: StreamMessage[Msg]) -> int | None:
    return read_asked_at(message.headers.get(ASKED_AT.lower()))


async def _execute(
    use_case: Callable[[Any], Awaitable[Reply[Any]]], asked: Any, attempt: Attempt
) -> Reply[Any]:
    current_attempt.set(attempt)
    try:
        attempt.deadline.check()
        return await use_case(asked)
    except Exception as error:
        await _tell_command(error, asked)
        raise


def _describe(refused: Refused, failure: Exception) -> dict[str, Any]:
    """What the log says of a refused command. At once: many commands may be refused by one exception."""
    return {"error_type": type(refused).__name__, **log_fields(getattr(failure, "command", None))}


async def _tell_command(error: Exception, asked: Any) -> None:
    """Let a failure say of which command it is; `asked` is that, or the message which it came alone in."""
    if isinstance(asked, StreamMessage):
        with suppress(Refused):  # it cannot be read; and what was read is kept there
            asked = await asked.decode()
    if isinstance(asked, Command):
        error.command = asked  # type: ignore[attr-defined]


def _fail_with(error: Exception) -> Execute:
    async def execute() -> Reply[Any]:
        raise error

    return execute
