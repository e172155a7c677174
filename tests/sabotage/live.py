"""Remove safeguards of live slots."""

import asyncio
from math import inf

from gateway.live import window
from gateway.live.window import WatchedWindow


def no_reads_by_itself() -> None:
    """Read a window only after an event or a hint."""
    vars(window)["LONGEST_PAUSE_SECONDS"] = inf


def reads_at_once() -> None:
    """Begin a read of a window while an earlier one is under way."""

    async def run(watched: WatchedWindow) -> None:
        reading = set[asyncio.Task[None]]()

        async def read() -> None:
            joining = {stream for stream in watched._streams if not stream.opened.done()}
            watched._pass_on(await watched._read(watched._window), joining)

        while True:
            await watched._wait()
            watched._wake.clear()
            reading.add(asyncio.create_task(read()))

    WatchedWindow.run = run  # type: ignore[assignment,method-assign]
