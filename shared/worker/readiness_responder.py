"""Answer readiness requests in groups: one check for all requests that arrive meanwhile.

Any caller may ask, at any rate. Thousands of requests cost one check and one task, and take little time from
commands.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any

import structlog
from nats.aio.msg import Msg

from shared.contract.commands import AskReady
from shared.contract.deadline import LONGEST_TIMEOUT_SECONDS, Deadline
from shared.contract.envelope import Reply, refusal
from shared.contract.errors import Refused, TooLarge
from shared.contract.headers import DEADLINE
from shared.contract.parsing import LARGEST_REQUEST, parse_command
from shared.contract.replies import Readiness
from shared.worker.messages import check_headers, in_lower_case, respond, send

CHUNK_REPLIES = 50
"""Replies that are sent before the event loop runs other tasks."""
_PLAIN = (b"", b"{}")

log = structlog.get_logger()


class ReadinessResponder:
    """Collects requests while earlier ones are answered; `ask` returns whether the worker is ready."""

    def __init__(self, ask: Callable[[], Awaitable[Readiness]]) -> None:
        self._ask = ask
        self._waiting: list[tuple[Msg, Reply[Any] | None]] = []
        self._answering: asyncio.Task[None] | None = None

    async def take(self, message: Msg) -> None:
        """Accept a request, to be answered with the next group; a malformed one gets its refusal."""
        self._waiting.append((message, _refusal_of(message)))
        if self._answering is None or self._answering.done():
            self._answering = asyncio.create_task(self._answer(), context=Context())

    async def _answer(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            readiness = await self._ask()
            payload, headers = Reply(readiness, 200 if readiness.ready else 503).to_wire()
            for number, (message, refused) in enumerate(group, start=1):
                if refused is not None:
                    await send(message, refused)
                else:
                    await respond(message, payload, dict(headers))
                if number % CHUNK_REPLIES == 0:
                    await asyncio.sleep(0)
            log.debug("ready_answered", questions=len(group), ready=readiness.ready)


def _refusal_of(message: Msg) -> Reply[Any] | None:
    """Return the refusal of a malformed or late request; None for a valid one."""
    if not message.headers and message.data in _PLAIN:
        return None
    try:
        headers = in_lower_case(message.headers or {})
        check_headers(headers)
        if len(message.data) > LARGEST_REQUEST:
            raise TooLarge
        parse_command(AskReady, message.data)
        Deadline.from_header(headers.get(DEADLINE.lower()), LONGEST_TIMEOUT_SECONDS).check()
    except Refused as refused:
        return refusal(refused)
    return None
