"""Retry a command within its caller's timeout. The command's key or token makes a retry safe.

The class of a 503 decides whether to retry (`repeatable`). The answers of earlier attempts count until the
timeout: a late 2xx is the answer of the command; a late refusal only settles the outcome of its own attempt.
So does a 429, which is not retried: it reserves no key, so an earlier attempt may still be executed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import uniform
from typing import Generic, TypeVar

import structlog

from ..contract.envelope import Envelope
from ..contract.errors import NoResponders, NotExecuted, OutcomeUnknown, Refused, TooMany
from .requester import Requester
from .statistics import Statistics

ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.1
# The longest backoff. If a server is away, the retries of all callers must not add much to its load.
LONGEST_PAUSE_SECONDS = 0.5
# The share of the timeout after the last deadline: an answer sent at that deadline needs time to arrive.
ANSWER_SHARE = 0.02
# The share of an attempt's usual time that must remain for a retry.
SHORTEST_SHARE = 0.8

ReplyT = TypeVar("ReplyT")
Answer = asyncio.Future[Envelope | Refused]
SendAttempt = Callable[[float, float, bool], Answer]
"""Sends an attempt.

Its arguments: the seconds until the attempt's deadline, the seconds to wait for the answer, and whether an
earlier attempt may have been executed."""

NotDone = NotExecuted | TooMany
"""A refusal of one attempt, which leaves the outcomes of earlier attempts open."""

log = structlog.get_logger()


def attempt_seconds(timeout: float) -> float:
    """Return the seconds until an attempt's deadline, if `ATTEMPTS` attempts share the timeout."""
    return timeout * (1 - ANSWER_SHARE) / ATTEMPTS


class Attempts(Generic[ReplyT]):
    """The attempts of one command: at most `ATTEMPTS` without an answer, and retries of repeatable 503s.

    Args:
        subject: the subject of the command, for the log and the statistics.
        requester: after it has left, no further attempt is sent.
        send: sends an attempt.
        read: converts an answer into the reply, or raises its refusal; its last argument is the last argument
            of `send`.
        why_unserved: returns why a command of a subject reached no worker; a refusal ends the attempts.
        first: the answer to the first attempt, perhaps received already.
        began: when the first attempt was sent, in the time of the event loop.
        timeout: the time for all attempts, in seconds.
        statistics: counts the outcomes of the attempts.
    """

    def __init__(
        self,
        subject: str,
        requester: Requester,
        send: SendAttempt,
        read: Callable[[Envelope, bool], ReplyT],
        why_unserved: Callable[[str], Awaitable[NotExecuted | None]],
        *,
        first: Answer,
        began: float,
        timeout: float,
        statistics: Statistics,
    ) -> None:
        self._subject = subject
        self._requester = requester
        self._send = send
        self._read = read
        self._why_unserved = why_unserved
        self._statistics = statistics
        self._seconds = attempt_seconds(timeout)
        self._now = asyncio.get_running_loop().time
        self._ends = began + timeout
        self._latest_deadline = self._ends - timeout * ANSWER_SHARE
        self._latest = first
        self._unanswered = {first: began + self._seconds}  # answers and their deadlines
        self._doubtful: set[Answer] = set()  # attempts sent after one that may have been executed
        self._lost = False  # whether an attempt has ended without a known outcome

    async def run(self) -> ReplyT:
        """Retry the command until it is answered or no time remains for one more attempt.

        Send the next attempt after the deadline of the last one, or after a repeatable 503, so that no two
        attempts are executed at once.

        Raises:
            Refused: the worker's refusal; a 503 only if no attempt can have been executed, otherwise
                OutcomeUnknown.
        """
        try:
            return await self._run()
        finally:
            for answer, deadline in self._unanswered.items():
                answer.cancel()
                self._count("unknown" if self._now() >= deadline else "cancelled")

    async def _run(self) -> ReplyT:
        pause = FIRST_PAUSE_SECONDS
        failure: NotDone = NotExecuted()
        while True:
            deadline = self._unanswered[self._latest]
            outcome = await self._listen(self._latest, deadline)
            if isinstance(outcome, TooMany):
                failure = outcome
                break
            if isinstance(outcome, NotExecuted):
                failure = outcome
                if isinstance(outcome, NoResponders) and (reason := await self._why_unserved(self._subject)):
                    failure = reason
                    break
                if not outcome.repeatable:
                    break
                next_at = self._now() + uniform(pause / 2, pause)  # noqa: S311 - not a secret
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            elif outcome is None or isinstance(outcome, OutcomeUnknown):
                request_id = self._requester.request_id
                known = {"request_id": request_id} if request_id else {}
                log.warning("attempt_unanswered", subject=self._subject, **known)
                next_at = deadline
            else:
                return _reply_or_raise(outcome)
            if self._latest_deadline - next_at < SHORTEST_SHARE * self._seconds:
                break
            if (outcome := await self._listen(None, next_at)) is not None:
                return _reply_or_raise(outcome)
            if await self._requester.has_left():
                raise self._unknown_or(failure)
            self._send_next()
        return await self._await_late_answers(failure)

    def _send_next(self) -> None:
        now, in_doubt = self._now(), self._in_doubt
        deadline = min(now + self._seconds, self._latest_deadline)
        self._latest = self._send(deadline - now, self._ends - now, in_doubt)
        self._unanswered[self._latest] = deadline
        if in_doubt:
            self._doubtful.add(self._latest)

    async def _await_late_answers(self, failure: NotDone) -> ReplyT:
        """Return a late reply after the last attempt; raise `failure` if no attempt is in doubt."""
        while not failure.settles_all:
            outcome = await self._listen(self._latest, self._ends)
            if outcome is None:
                raise self._unknown_or(failure)
            if isinstance(outcome, NotDone):
                failure = outcome
            elif not isinstance(outcome, OutcomeUnknown):
                return _reply_or_raise(outcome)
        raise failure

    def _unknown_or(self, failure: NotDone) -> Refused:
        return OutcomeUnknown() if self._in_doubt else failure

    @property
    def _in_doubt(self) -> bool:
        """Whether an attempt may have been executed, or may still be executed."""
        return self._lost or bool(self._unanswered)

    async def _listen(self, latest: Answer | None, until: float) -> ReplyT | Refused | None:
        """Wait for a reply to any attempt or a refusal of the `latest`; None if neither comes in time."""
        while self._unanswered:
            seconds = max(until - self._now(), 0)
            done, _ = await asyncio.wait(
                self._unanswered, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            refused: Refused | None = None
            for answer in done:
                outcome = self._settle(answer)
                if not isinstance(outcome, Refused):
                    return outcome
                if answer is latest:
                    refused = outcome
            if refused is not None:
                return refused
        if latest is None and (seconds := until - self._now()) > 0 and until < self._ends:
            await asyncio.sleep(seconds)
        return None

    def _settle(self, answer: Answer) -> ReplyT | Refused:
        """Return the outcome of an answered attempt, and count it."""
        del self._unanswered[answer]
        outcome = answer.result()
        if not isinstance(outcome, Refused):
            try:
                reply = self._read(outcome, answer in self._doubtful)
            except Refused as refused:
                outcome = refused
            else:
                self._count("answered")
                return reply
        self._lost = self._lost or isinstance(outcome, OutcomeUnknown)
        self._count(_outcome_name(outcome))
        return outcome

    def _count(self, outcome: str) -> None:
        self._statistics.attempts[self._subject, outcome] += 1


def _outcome_name(refused: Refused) -> str:
    """Return the name of a refusal in `Statistics.attempts`."""
    match refused:
        case NoResponders():
            return "no_responders"
        case OutcomeUnknown():
            return "unknown"
        case NotExecuted():
            return "not_executed"
    return "answered"


def _reply_or_raise(outcome: ReplyT | Refused) -> ReplyT:
    if isinstance(outcome, Refused):
        raise outcome
    return outcome
