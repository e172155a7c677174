"""A worker's process: starts it, waits for SIGTERM or SIGINT, and lets it drain."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import structlog
import uvloop

from shared.process.garbage import tune_gc
from shared.process.logs import configure_logs
from shared.process.metrics import set_build_info
from shared.process.settings import LogSettings, Misconfigured, load

log = structlog.get_logger()
Worker = Callable[[Callable[[], None]], AbstractAsyncContextManager[None]]


def run(name: str, worker: Worker) -> None:
    """Run a worker until it is told to stop.

    `worker` serves while its context lasts. It is given what it calls where it can serve no more: the
    process then ends with an error, and whoever supervises it starts it anew.
    """
    try:
        configure_logs(load(LogSettings), name)
        set_build_info(name)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            failed = runner.run(_run(worker))
    except Misconfigured as error:
        raise SystemExit(str(error)) from None
    if failed:
        raise SystemExit(1)


async def _run(worker: Worker) -> bool:
    """Whether it has failed."""
    stopping, failed = asyncio.Event(), asyncio.Event()

    def fail() -> None:
        failed.set()
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        # A start waits for its servers as long as that takes; a signal must be able to end it.
        start = asyncio.ensure_future(stack.enter_async_context(worker(fail)))
        stop = asyncio.ensure_future(stopping.wait())
        await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            start.cancel()
            await asyncio.wait({start})
            return failed.is_set()
        try:
            await start
            tune_gc()
            log.info("serving")
            await stop
            log.info("stopping")
        finally:
            stop.cancel()
    return failed.is_set()
