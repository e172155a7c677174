"""Answers to whether a worker is ready: one look for all who ask at the same moment.

Anybody may ask, and often: thousands of questions cost one look, one task, and hardly any time of others.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context

import structlog
from nats.aio.msg import Msg

from shared.contract.envelope import Reply
from shared.contract.replies import Readiness
from shared.worker.messages import respond

TOGETHER = 50
"""So many answers are sent before other work has its turn."""

log = structlog.get_logger()


class ReadyAnswers:
    """Collects questions while others are being answered; `ask` says whether the worker is ready."""

    def __init__(self, ask: Callable[[], Awaitable[Readiness]]) -> None:
        self._ask = ask
        self._waiting: list[Msg] = []
        self._answering: asyncio.Task[None] | None = None

    def take(self, message: Msg) -> bool:
        """Whether it is a plain question, which will be answered; else it is to be read as any command."""
        if message.headers or message.data not in (b"", b"{}"):
            return False
        self._waiting.append(message)
        if self._answering is None or self._answering.done():
            self._answering = asyncio.create_task(self._answer(), context=Context())
        return True

    async def _answer(self) -> None:
        while self._waiting:
            asking, self._waiting = self._waiting, []
            readiness = await self._ask()
            payload, headers = Reply(readiness, 200 if readiness.ready else 503).to_wire()
            for number, message in enumerate(asking, start=1):
                await respond(message, payload, dict(headers))
                if number % TOGETHER == 0:
                    await asyncio.sleep(0)
            log.debug("ready_answered", questions=len(asking), ready=readiness.ready)
