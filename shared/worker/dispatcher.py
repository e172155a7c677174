"""Every message is answered, whatever happens: the commands of one are decided together.

A message is read, decided, answered and logged in plain loops: what a message costs is paid once for all of
its commands.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

import structlog
from nats.aio.msg import Msg

from shared.contract.commands import CommandT
from shared.contract.envelope import Reply, many_to_wire, refusal
from shared.contract.errors import OutcomeUnknown, Refused
from shared.contract.headers import ERROR_TYPE
from shared.contract.hints import HoldHint
from shared.contract.log_fields import log_fields
from shared.contract.operation import Operation
from shared.worker.attempts import Attempt, Reader, Received
from shared.worker.hints import HintPublisher
from shared.worker.in_flight import InFlightCommands
from shared.worker.messages import respond, send
from shared.worker.metrics import count_answers

REFUSED = 400
FAILED = 500
"""From this status on an answer is a warning: not executed, or unknown."""

OutcomeT = TypeVar("OutcomeT")
UseCase = Callable[[Sequence[Attempt[CommandT]]], Awaitable[Sequence[OutcomeT | Exception]]]

log = structlog.get_logger()


@dataclass(frozen=True)
class Handler(Generic[CommandT, OutcomeT]):
    """What a worker does for an operation: `use_case` decides attempts, `reply` tells of what came of one.

    A use case returns an outcome or a refusal for each attempt, in their order, or raises what is the fate of
    all of them. `hint` is what is published of a command that was carried out, after its answer.
    """

    use_case: UseCase[CommandT, OutcomeT]
    reply: Callable[[OutcomeT], Reply[Any]]
    hint: Callable[[CommandT, OutcomeT], HoldHint] | None = None


Handlers = Mapping[Operation[Any, Any], Handler[Any, Any]]


def one_by_one(
    use_case: Callable[[Attempt[CommandT]], Awaitable[OutcomeT]],
) -> UseCase[CommandT, OutcomeT]:
    """A use case for operations whose commands come alone."""

    async def each(attempts: Sequence[Attempt[CommandT]]) -> list[OutcomeT]:
        return [await use_case(attempt) for attempt in attempts]

    return each


class Dispatcher:
    """Answers what a worker is sent. No deadline counts that is more than `longest_seconds` ahead."""

    def __init__(self, in_flight: InFlightCommands, hints: HintPublisher, *, longest_seconds: float) -> None:
        self._in_flight = in_flight
        self._hints = hints
        self._reader = Reader(longest_seconds=longest_seconds)

    def begin(
        self, operation: Operation[Any, Any], handler: Handler[Any, Any], message: Msg, *, many: bool
    ) -> int:
        """Begin to answer a message of one command or of many; how many there are."""
        started = time.perf_counter()
        received = self._reader.read(operation, message, many=many)
        answer = self._answer(operation, handler, message, received, started)
        self._in_flight.begin(answer, commands=len(received.each))
        return len(received.each)

    async def _answer(
        self,
        operation: Operation[Any, Any],
        handler: Handler[Any, Any],
        message: Msg,
        received: Received[Any],
        started: float,
    ) -> None:
        one = {"request_id": received.request_ids[0]} if len(received.each) == 1 else {}
        structlog.contextvars.bind_contextvars(subject=message.subject, **one)
        outcomes = await _decide(handler, received)
        self._in_flight.decided(len(received.each))
        replies, failures = _replies(operation, handler, outcomes)
        for failure in failures:  # once, however many commands have met it
            log.error("command_failed", error_type=type(failure).__name__, exc_info=failure)
        seconds = time.perf_counter() - started
        if received.many:
            await respond(message, many_to_wire(replies))
        else:
            await send(message, replies[0])
        if handler.hint is not None:
            await self._hints.publish(_hints(handler.hint, received, outcomes))
        count_answers(
            message.subject,
            Counter(reply.headers.get(ERROR_TYPE) or str(reply.status) for reply in replies),
            seconds,
        )
        _log(message.subject, received, outcomes, replies, round(seconds * 1000, 1))


async def _decide(handler: Handler[Any, Any], received: Received[Any]) -> list[Any]:
    """The outcome of each command, or the exception that it met."""
    attempts = {place: each for place, each in enumerate(received.each) if isinstance(each, Attempt)}
    decided: dict[int, Any] = {}
    if attempts:
        try:
            outcomes = await handler.use_case(list(attempts.values()))
            decided = dict(zip(attempts, outcomes, strict=True))
        except Exception as error:
            decided = dict.fromkeys(attempts, error)
    return [decided.get(place, each) for place, each in enumerate(received.each)]


def _hints(
    hint: Callable[[Any, Any], HoldHint], received: Received[Any], outcomes: Sequence[Any]
) -> Iterator[HoldHint]:
    for asked, outcome in zip(received.each, outcomes, strict=True):
        if isinstance(asked, Attempt) and not isinstance(outcome, Exception):
            yield hint(asked.command, outcome)


def _replies(
    operation: Operation[Any, Any], handler: Handler[Any, Any], outcomes: Sequence[Any]
) -> tuple[list[Reply[Any]], list[Exception]]:
    """The answers as they travel; and the failures that are no refusals, whose outcome is unknown."""
    replies: list[Reply[Any]] = []
    failures: dict[int, Exception] = {}

    def fail(error: Exception) -> None:
        failures[id(error)] = error
        replies.append(_refusal(OutcomeUnknown(OutcomeUnknown.of_a_read if operation.reads else None)))

    for outcome in outcomes:
        try:
            if isinstance(outcome, Refused):
                replies.append(_refusal(outcome))
            elif isinstance(outcome, Exception):
                fail(outcome)
            else:
                replies.append(handler.reply(outcome).written())
        except Exception as error:
            fail(error)
    return replies, list(failures.values())


def _refusal(refused: Refused) -> Reply[Any]:
    """The answer for a refusal; what many refusals have in common is written once."""
    if refused.appointment:
        return refusal(refused).written()
    kind: Callable[[str], Refused] = type(refused)
    return _refusal_of(kind, refused.text)


@lru_cache(maxsize=256)
def _refusal_of(kind: Callable[[str], Refused], text: str) -> Reply[Any]:
    return refusal(kind(text)).written()


def _log(
    subject: str, received: Received[Any], outcomes: Sequence[Any], replies: Sequence[Reply[Any]], ms: float
) -> None:
    """One line for all that are carried out, and one for each that is not: by it, it is found."""
    tell = log.debug if subject.endswith(".ready") else log.info
    ids = received.request_ids
    done = [number for number, reply in enumerate(replies) if reply.status < REFUSED]
    if len(done) == 1:
        (only,) = done
        tell("answered", request_id=ids[only], subject=subject, status=replies[only].status, ms=ms)
    elif done:
        counts = dict(Counter(str(replies[number].status) for number in done))
        tell(
            "answered", request_ids=[ids[number] for number in done], subject=subject, statuses=counts, ms=ms
        )
    if len(done) == len(replies):
        return
    for number, reply in enumerate(replies):
        if reply.status >= REFUSED:
            asked = received.each[number]
            fields = log_fields(asked.command) if isinstance(asked, Attempt) else {}
            outcome = outcomes[number]
            kind = type(outcome) if isinstance(outcome, Refused) else OutcomeUnknown
            (log.warning if reply.status >= FAILED else tell)(
                "answered",
                request_id=ids[number],
                subject=subject,
                status=reply.status,
                ms=ms,
                error_type=kind.__name__,
                **fields,
            )
