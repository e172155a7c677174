"""Why a command reached no worker: none is there, or those that are there cannot serve it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context

from ..contract.errors import HoldsUnreachable, NotExecuted, NotReady
from ..contract.operations import BOOKING_READY, HOLD_READY, RELEASE
from ..contract.replies import OK, UNANSWERED, Readiness

Ask = Callable[[str], Awaitable[Sequence[Readiness]]]


class Nobody:
    """Asks the workers of a kind whether they are ready: one question for all commands that wait for it."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._asking: dict[str, asyncio.Task[Sequence[Readiness]]] = {}

    async def explain(self, subject: str) -> NotExecuted | None:
        """Return a refusal if there are workers and none can use what it needs: a repeat is in vain."""
        ready = (BOOKING_READY if subject.startswith("booking.") else HOLD_READY).subject
        asking = self._asking.get(ready)
        if asking is None or asking.done():
            # In a context of its own, not in that of the caller who happened to come first.
            asking = self._asking[ready] = asyncio.create_task(self._question(ready), context=Context())
        workers = await asyncio.shield(asking)
        reasons = [_reason(subject, worker) for worker in workers]
        return reasons[0] if reasons and all(reasons) else None

    async def _question(self, ready: str) -> Sequence[Readiness]:
        return await self._ask(ready)


def _reason(subject: str, worker: Readiness) -> NotExecuted | None:
    """Why a worker cannot serve a subject; None if it can."""
    if subject != RELEASE.subject and worker.checks.get("mongodb") != OK:
        return NotReady()
    if subject.startswith("hold.") and worker.checks.get("redis") == UNANSWERED:
        return HoldsUnreachable()
    return None
