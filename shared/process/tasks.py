"""Run tasks that must last as long as their process: if one ends, the process must end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger()


def run_until_cancelled(work: Coroutine[Any, Any, None], fail: Callable[[], object]) -> asyncio.Task[None]:
    """Run `work` in a task; call `fail` if it ends in any way except by cancellation."""
    task = asyncio.create_task(work)
    name = getattr(work, "__qualname__", "")

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            log.error("task_ended", task=name, exc_info=task.exception())
            fail()

    task.add_done_callback(ended)
    return task
