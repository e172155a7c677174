"""What workers say of themselves: whether they are ready, and so why a command reached none of them."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context

from nats.errors import Error as NatsError

from ..contract.envelope import read_reply
from ..contract.errors import HoldsUnreachable, NotExecuted, NotReady, Refused
from ..contract.operations import BOOKING_READY, HOLD_READY, RELEASE
from ..contract.replies import OK, UNANSWERED, Readiness
from ..process.nats_wire import GuardedClient
from .requests import identified

LINGER_SECONDS = 0.05
READY_SECONDS = 0.3
"""How long workers that were not reached by a command may take to say why."""


class Workers:
    """Asks all workers of a kind whether they can serve."""

    def __init__(self, connection: GuardedClient) -> None:
        self._connection = connection
        self._asking: dict[str, asyncio.Task[list[Readiness]]] = {}

    async def ask_ready(
        self, subject: str, *, seconds: float, enough: Callable[[Readiness], bool]
    ) -> list[Readiness]:
        """Ask on the subject of `BOOKING_READY` or `HOLD_READY`.

        What those say that answer in time, or hardly later than the first answer that is `enough`.
        """
        answers: list[Readiness] = []
        now = asyncio.get_running_loop().time
        with suppress(TimeoutError, NatsError):
            inbox = self._connection.new_inbox()
            subscription = await self._connection.subscribe(inbox)
            try:
                # Without a deadline: a worker whose clock is wrong answers too.
                await self._connection.publish(subject, b"{}", inbox, headers=identified() or None)
                async with asyncio.timeout_at(ends := now() + seconds) as limit:
                    while True:
                        message = await subscription.next_msg(None)
                        if not message.data:  # it is NATS itself that says that there is none
                            break
                        with suppress(Refused):
                            answers.append(read_reply(message.data, message.headers or {}, Readiness).body)
                            if enough(answers[-1]):
                                limit.reschedule(ends := min(ends, now() + LINGER_SECONDS))
            finally:
                await subscription.unsubscribe()
        return answers

    async def why_unserved(self, subject: str) -> NotExecuted | None:
        """Return a refusal if there are workers and none can use what it needs: a repeat is in vain.

        One question serves all commands that wait for its answer.
        """
        if not self._connection.is_reading:
            return None
        ready = (BOOKING_READY if subject.startswith("booking.") else HOLD_READY).subject
        asking = self._asking.get(ready)
        if asking is None or asking.done():
            # In a context of its own, not in that of the caller who happened to come first.
            asking = self._asking[ready] = asyncio.create_task(self._question(ready), context=Context())
        workers = await asyncio.shield(asking)
        reasons = [_reason(subject, worker) for worker in workers]
        return reasons[0] if reasons and all(reasons) else None

    async def _question(self, subject: str) -> list[Readiness]:
        return await self.ask_ready(subject, seconds=READY_SECONDS, enough=lambda worker: worker.ready)


def _reason(subject: str, worker: Readiness) -> NotExecuted | None:
    """Why a worker cannot serve a subject; None if it can."""
    if subject != RELEASE.subject and worker.checks.get("mongodb") != OK:
        return NotReady()
    if subject.startswith("hold.") and worker.checks.get("redis") == UNANSWERED:
        return HoldsUnreachable()
    return None
