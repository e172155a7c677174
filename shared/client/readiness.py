"""Ask NATS and the workers whether they can serve."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context

from nats.errors import Error as NatsError

from ..contract.envelope import read_reply
from ..contract.errors import HoldsUnreachable, NotExecuted, NotReady, Refused
from ..contract.operations import BOOKING_READY, HOLD_READY, RELEASE
from ..contract.replies import OK, UNANSWERED, Readiness
from ..process.nats_wire import GuardedClient, round_trip
from .request_ids import request_id_header

LINGER_SECONDS = 0.05
"""The time for further answers after the first sufficient one."""
READY_SECONDS = 0.3
"""The time for workers to explain why a command reached none of them."""


class ReadinessProbe:
    """Asks NATS, and all workers of a kind, whether they can serve.

    `prefix`: what precedes subjects for this user of NATS.
    """

    def __init__(self, connection: GuardedClient, prefix: str = "") -> None:
        self._connection = connection
        self._prefix = prefix
        self._questions: dict[str, asyncio.Task[list[Readiness]]] = {}

    async def ask_nats(self, seconds: float) -> str | None:
        """Return the problem with NATS, or None if NATS answers within `seconds`."""
        if not self._connection.is_reading:
            return "not connected"
        try:
            async with asyncio.timeout(seconds):
                await round_trip(self._connection)
        except (TimeoutError, NatsError):
            return "does not answer"
        return None

    async def ask_workers(
        self, subject: str, *, seconds: float, enough: Callable[[Readiness], bool]
    ) -> list[Readiness]:
        """Return the readiness of all workers that answer in time.

        Args:
            subject: of `BOOKING_READY` or `HOLD_READY`.
            seconds: the time for answers.
            enough: whether an answer suffices; after the first such answer, the time for further ones is only
                `LINGER_SECONDS`.
        """
        answers: list[Readiness] = []
        now = asyncio.get_running_loop().time
        with suppress(TimeoutError, NatsError):
            inbox = self._connection.new_inbox()
            subscription = await self._connection.subscribe(inbox)
            try:
                # Without a deadline, so that a worker with a wrong clock answers too.
                headers = request_id_header() or None
                await self._connection.publish(self._prefix + subject, b"{}", inbox, headers=headers)
                async with asyncio.timeout_at(ends := now() + seconds) as limit:
                    while True:
                        message = await subscription.next_msg(None)
                        if not message.data:  # NATS answers "no responders" with an empty message
                            break
                        with suppress(Refused):
                            answers.append(read_reply(message.data, message.headers or {}, Readiness).body)
                            if enough(answers[-1]):
                                limit.reschedule(ends := min(ends, now() + LINGER_SECONDS))
            finally:
                await subscription.unsubscribe()
        return answers

    async def why_unserved(self, subject: str) -> NotExecuted | None:
        """Return why a command reached no worker, if every worker that answers cannot serve its subject.

        A retry is then useless. Concurrent commands share one question. None: a worker can serve, or no
        worker answers.
        """
        if not self._connection.is_reading:
            return None
        ready = (BOOKING_READY if subject.startswith("booking.") else HOLD_READY).subject
        question = self._questions.get(ready)
        if question is None or question.done():
            # An empty context: the question must not carry the request id of the caller that starts it.
            question = asyncio.create_task(self._ask(ready), context=Context())
            self._questions[ready] = question
        workers = await asyncio.shield(question)
        reasons = [_reason(subject, worker) for worker in workers]
        return reasons[0] if reasons and all(reasons) else None

    async def _ask(self, subject: str) -> list[Readiness]:
        return await self.ask_workers(subject, seconds=READY_SECONDS, enough=lambda worker: worker.ready)


def _reason(subject: str, worker: Readiness) -> NotExecuted | None:
    """Return why a worker cannot serve a subject, or None if it can."""
    if subject != RELEASE.subject and worker.checks.get("mongodb") != OK:
        return NotReady()
    if subject.startswith("hold.") and worker.checks.get("redis") == UNANSWERED:
        return HoldsUnreachable()
    return None
