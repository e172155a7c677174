"""Answer every message, even after a failure. The commands of one message are decided together.

A message is read, decided, answered and logged in plain loops, without a task per command, so that its
commands share the fixed costs of a message.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog
from nats.aio.msg import Msg

from shared.contract.commands import CommandT
from shared.contract.envelope import Reply, many_to_wire, refusal
from shared.contract.errors import OutcomeUnknown, Overloaded, Refused
from shared.contract.hints import HoldHint
from shared.contract.operation import Operation
from shared.worker.answer_log import record_answers
from shared.worker.attempts import Attempt, Reader, Received
from shared.worker.flow_control import FlowControl
from shared.worker.hints import HintPublisher
from shared.worker.in_flight import InFlightCommands
from shared.worker.messages import respond, send
from shared.worker.metrics import TURNED_AWAY
from shared.worker.senders import Senders, any_sender

OutcomeT = TypeVar("OutcomeT")
UseCase = Callable[[Sequence[Attempt[CommandT]]], Awaitable[Sequence[OutcomeT | Exception]]]

log = structlog.get_logger()


@dataclass(frozen=True)
class Handler(Generic[CommandT, OutcomeT]):
    """The handler of an operation: `use_case` decides attempts, `reply` turns one outcome into a reply.

    A use case returns one outcome or refusal per attempt, in order, or raises the refusal of all of them.
    `hint` returns the hint of an executed command, to publish after its answer.
    """

    use_case: UseCase[CommandT, OutcomeT]
    reply: Callable[[OutcomeT], Reply[Any]]
    hint: Callable[[CommandT, OutcomeT], HoldHint] | None = None


Handlers = Mapping[Operation[Any, Any], Handler[Any, Any]]


def unbatched(
    use_case: Callable[[Attempt[CommandT]], Awaitable[OutcomeT]],
) -> UseCase[CommandT, OutcomeT]:
    """Adapt a use case of a single attempt to the signature of `UseCase`."""

    async def decide_in_order(attempts: Sequence[Attempt[CommandT]]) -> list[OutcomeT]:
        return [await use_case(attempt) for attempt in attempts]

    return decide_in_order


class Dispatcher:
    """Answers messages. Deadlines are capped to `longest_seconds` from now.

    `sender_of` returns the sender of a message by its subject.
    """

    def __init__(
        self,
        in_flight: InFlightCommands,
        hints: HintPublisher,
        *,
        longest_seconds: float,
        sender_of: Senders = any_sender,
    ) -> None:
        self._in_flight = in_flight
        self._hints = hints
        self._reader = Reader(longest_seconds=longest_seconds, sender_of=sender_of)

    async def take(
        self,
        operation: Operation[Any, Any],
        handler: Handler[Any, Any],
        control: FlowControl,
        message: Msg,
        *,
        many: bool,
    ) -> None:
        """Start to answer a message of one command, or of a batch (`many`); refuse it if overloaded."""
        if not control.admit():
            TURNED_AWAY.labels(control.subject).inc()
            await send(message, refusal(Overloaded()))
            return
        started = time.perf_counter()
        received = self._reader.read(operation, message, many=many)
        answer = self._answer(operation, handler, message, received, subject=control.subject, started=started)
        self._in_flight.begin(answer, commands=len(received.attempts))
        control.count(len(received.attempts))

    async def _answer(
        self,
        operation: Operation[Any, Any],
        handler: Handler[Any, Any],
        message: Msg,
        received: Received[Any],
        *,
        subject: str,
        started: float,
    ) -> None:
        """Answer a message; `subject` is its operation's, without a sender."""
        one = {"request_id": received.request_ids[0]} if len(received.attempts) == 1 else {}
        structlog.contextvars.bind_contextvars(subject=subject, **one)
        outcomes = await _decide(handler, received)
        self._in_flight.decided(len(received.attempts))
        replies, failures = _replies(operation, handler, outcomes)
        replies = [_permitted(reply, asked) for reply, asked in zip(replies, received.attempts, strict=True)]
        for failure in failures:  # one log line per failure, not per command
            log.error("command_failed", error_type=type(failure).__name__, exc_info=failure)
        seconds = time.perf_counter() - started
        if received.many:
            await respond(message, many_to_wire(replies))
        else:
            await send(message, replies[0])
        if handler.hint is not None:
            await self._hints.publish(_hints(handler.hint, received, outcomes))
        record_answers(subject, received, outcomes, replies, seconds, reads=operation.reads)


async def _decide(handler: Handler[Any, Any], received: Received[Any]) -> list[Any]:
    """Return the outcome of every command, or its exception."""
    attempts = {n: attempt for n, attempt in enumerate(received.attempts) if isinstance(attempt, Attempt)}
    decided: dict[int, Any] = {}
    if attempts:
        try:
            outcomes = await handler.use_case(list(attempts.values()))
            decided = dict(zip(attempts, outcomes, strict=True))
        except Exception as error:
            decided = dict.fromkeys(attempts, error)
    return [decided.get(n, attempt) for n, attempt in enumerate(received.attempts)]


def _hints(
    hint: Callable[[Any, Any], HoldHint], received: Received[Any], outcomes: Sequence[Any]
) -> Iterator[HoldHint]:
    for asked, outcome in zip(received.attempts, outcomes, strict=True):
        if isinstance(asked, Attempt) and not isinstance(outcome, Exception):
            yield hint(asked.command, outcome)


def _replies(
    operation: Operation[Any, Any], handler: Handler[Any, Any], outcomes: Sequence[Any]
) -> tuple[list[Reply[Any]], list[Exception]]:
    """Return the encoded replies, and the exceptions that are no refusals: their outcome is unknown."""
    replies: list[Reply[Any]] = []
    failures: dict[int, Exception] = {}

    def fail(error: Exception) -> None:
        failures[id(error)] = error
        replies.append(refusal(OutcomeUnknown(OutcomeUnknown.of_a_read if operation.reads else None)))

    for outcome in outcomes:
        try:
            if isinstance(outcome, Refused):
                replies.append(refusal(outcome))
            elif isinstance(outcome, Exception):
                fail(outcome)
            else:
                replies.append(handler.reply(outcome).written())
        except Exception as error:
            fail(error)
    return replies, list(failures.values())


def _permitted(reply: Reply[Any], asked: Attempt[Any] | Exception) -> Reply[Any]:
    """Leave out the names and contacts of patients, unless the caller may read them."""
    if isinstance(asked, Attempt) and not asked.caller.names:
        return reply.without_names()
    return reply
