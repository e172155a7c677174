"""How a command is retried within its caller's patience. Its key or token makes that safe.

The class of a 503 says whether another attempt is sent (`repeatable`). Earlier attempts are listened to until
the patience ends: a late 2xx is the answer, a late refusal only makes that attempt known.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import uniform
from typing import Generic, TypeVar

import structlog

from ..contract.envelope import Envelope
from ..contract.errors import NoResponders, NotExecuted, OutcomeUnknown, Refused
from .caller import Caller
from .statistics import Statistics

ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.1
# If all callers repeat because a server is away, they must not add much to its load.
LONGEST_PAUSE_SECONDS = 0.5
# Of the patience: the last attempt may be answered at its deadline, and that answer takes its time.
ANSWER_SHARE = 0.02
# Of the usual time of an attempt: with less another is not worth its while.
SHORTEST_SHARE = 0.8

ReplyT = TypeVar("ReplyT")
Answer = asyncio.Future[Envelope | Refused]
Send = Callable[[float, float, bool], Answer]
"""Sends an attempt that may be started within so many seconds, and listens for so many seconds to its answer.

The last argument says whether an earlier attempt may have been executed."""

log = structlog.get_logger()


def attempt_seconds(patience: float) -> float:
    """Return how long an attempt may wait to be started, if three are to fill the patience."""
    return patience * (1 - ANSWER_SHARE) / ATTEMPTS


class Attempts(Generic[ReplyT]):
    """The attempts of one command, of which up to three fill the patience (in seconds).

    `first` is the answer to the first attempt, which was sent at `began` (in the time of the event loop) and
    may be answered already. `read` makes the reply of an answer, or raises the refusal; its last argument is
    that of `Send`. `why_unserved` asks why a command of a subject reached no worker: a refusal ends the
    attempts. If the `caller` has left, no other attempt is sent.
    """

    def __init__(
        self,
        subject: str,
        caller: Caller,
        send: Send,
        read: Callable[[Envelope, bool], ReplyT],
        why_unserved: Callable[[str], Awaitable[NotExecuted | None]],
        *,
        first: Answer,
        began: float,
        patience: float,
        statistics: Statistics,
    ) -> None:
        self._subject = subject
        self._caller = caller
        self._send = send
        self._read = read
        self._why_unserved = why_unserved
        self._statistics = statistics
        self._seconds = attempt_seconds(patience)
        self._now = asyncio.get_running_loop().time
        self._ends = began + patience
        self._latest_deadline = self._ends - patience * ANSWER_SHARE
        self._latest = first
        self._unanswered = {first: began + self._seconds}  # with their deadlines
        self._repeats: set[Answer] = set()  # attempts after one that may have been executed
        self._lost = False  # whether an attempt has ended without a known outcome

    async def run(self) -> ReplyT:
        """Retry the command until it is answered, or no time is left for one more attempt.

        The next attempt is sent once the deadline of the one before has passed, or after a repeatable 503, so
        that no two are executed at once.

        Raises:
            Refused: as the worker says; 503 only if no attempt can have been executed.
        """
        try:
            return await self._run()
        finally:
            for answer, deadline in self._unanswered.items():
                answer.cancel()
                self._count("unknown" if self._now() >= deadline else "cancelled")

    async def _run(self) -> ReplyT:
        pause, failure = FIRST_PAUSE_SECONDS, NotExecuted()
        while True:
            deadline = self._unanswered[self._latest]
            outcome = await self._listen(self._latest, deadline)
            if isinstance(outcome, NotExecuted):
                failure = outcome
                if isinstance(outcome, NoResponders) and (reason := await self._why_unserved(self._subject)):
                    failure = reason
                    break
                if not outcome.repeatable:
                    break
                next_at = self._now() + uniform(pause / 2, pause)  # noqa: S311 - it is no secret
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            elif outcome is None or isinstance(outcome, OutcomeUnknown):
                request_id = self._caller.request_id
                known = {"request_id": request_id} if request_id else {}
                log.warning("attempt_unanswered", subject=self._subject, **known)
                next_at = deadline
            else:
                return _returned(outcome)
            if self._latest_deadline - next_at < SHORTEST_SHARE * self._seconds:
                break
            if (outcome := await self._listen(None, next_at)) is not None:
                return _returned(outcome)
            if await self._caller.has_left():
                raise self._unknown_or(failure)
            self._send_another()
        return await self._await_the_rest(failure)

    def _send_another(self) -> None:
        now, in_doubt = self._now(), self._in_doubt
        deadline = min(now + self._seconds, self._latest_deadline)
        self._latest = self._send(deadline - now, self._ends - now, in_doubt)
        self._unanswered[self._latest] = deadline
        if in_doubt:
            self._repeats.add(self._latest)

    async def _await_the_rest(self, failure: NotExecuted) -> ReplyT:
        """What the attempts are answered late, once no more are sent; else `failure`, if that is certain."""
        while not failure.settles_all:
            outcome = await self._listen(self._latest, self._ends)
            if outcome is None:
                raise self._unknown_or(failure)
            if isinstance(outcome, NotExecuted):
                failure = outcome
            elif not isinstance(outcome, OutcomeUnknown):
                return _returned(outcome)
        raise failure

    def _unknown_or(self, failure: NotExecuted) -> Refused:
        return OutcomeUnknown() if self._in_doubt else failure

    @property
    def _in_doubt(self) -> bool:
        """Whether an attempt may have been executed, or may yet be."""
        return self._lost or bool(self._unanswered)

    async def _listen(self, latest: Answer | None, until: float) -> ReplyT | Refused | None:
        """Wait for a reply to any attempt, or a refusal of the latest one; None if neither comes in time."""
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
        """What became of an attempt that has been answered."""
        del self._unanswered[answer]
        outcome = answer.result()
        if not isinstance(outcome, Refused):
            try:
                reply = self._read(outcome, answer in self._repeats)
            except Refused as refused:
                outcome = refused
            else:
                self._count("answered")
                return reply
        self._lost = self._lost or isinstance(outcome, OutcomeUnknown)
        self._count(_BECAME.get(type(outcome), _became(outcome)))
        return outcome

    def _count(self, became: str) -> None:
        self._statistics.attempts[self._subject, became] += 1


_BECAME = {NoResponders: "no_responders", OutcomeUnknown: "unknown"}


def _became(refused: Refused) -> str:
    return "not_executed" if isinstance(refused, NotExecuted) else "answered"


def _returned(outcome: ReplyT | Refused) -> ReplyT:
    """The reply; of a refusal, an exception."""
    if isinstance(outcome, Refused):
        raise outcome
    return outcome
