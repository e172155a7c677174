"""A watched window: when it is read."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from gateway.live import window as window_module
from gateway.live.window import MOST_EXPIRIES, Slots, WatchedWindow
from shared.client.site_changes import SiteChange
from shared.contract.commands import ListSlots
from shared.contract.errors import NotExecuted

START = datetime(2031, 5, 4, tzinfo=UTC)


def window_of(read: Any) -> WatchedWindow:
    return WatchedWindow(ListSlots.model_validate({"from": START, "to": START + timedelta(days=1)}), read)


async def test_change_does_not_shorten_the_wait_after_a_failed_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed read, changes and new streams wait until the next attempt is due."""
    monkeypatch.setattr(window_module, "RETRY_SECONDS", 0.3)
    reads = list[float]()
    loop = asyncio.get_running_loop()

    async def read(_window: ListSlots) -> Slots:
        reads.append(loop.time())
        raise NotExecuted

    window = window_of(read)
    running = asyncio.create_task(window.run())
    while len(reads) < 3:
        with suppress(NotExecuted):
            stream = window.join()
            await stream.opened
        window.leave(stream)
    running.cancel()
    assert all(after - before >= 0.3 for before, after in pairwise(reads))


async def test_ends_of_holds_are_bounded() -> None:
    """A window keeps a bounded number of ends of holds, and none that is more than a day ahead."""

    async def read(_window: ListSlots) -> Slots:
        raise NotImplementedError

    window, now = window_of(read), datetime.now(UTC)
    window.note(SiteChange((), now + timedelta(days=2)))
    assert len(window._expiries) == 0
    for _ in range(MOST_EXPIRIES):
        window.note(SiteChange((), now + timedelta(minutes=5)))
    assert len(window._expiries) == MOST_EXPIRIES
