"""What a page shows of a window never runs backwards."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.live.window import WatchedWindow
from shared.client.site_changes import SiteChange
from shared.contract.commands import ListSlots
from tests.sabotage.live import reads_at_once

DAY = ListSlots.model_validate(
    {"from": datetime(2031, 5, 4, tzinfo=UTC), "to": datetime(2031, 5, 5, tzinfo=UTC)}
)
SEEN_SECONDS = 10.0


class Slots:
    """The answers of a worker: the second read sees the state at its start, and is answered last."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.reads = 0
        self.asked_twice, self.answer_second = asyncio.Event(), asyncio.Event()

    async def read(self, _window: ListSlots) -> dict[str, Any]:
        self.reads += 1
        rows = [{"slot": slot, "resource": "default", "state": "booked"} for slot in self.taken]
        if self.reads == 2:
            self.asked_twice.set()
            await self.answer_second.wait()
        return {"taken": rows, "holds": "known"}


async def shown_at_last() -> list[str]:
    """Book twice, so that the read of the first booking is slow; return what a page shows at the end."""
    slots = Slots()
    watched = WatchedWindow(DAY, slots.read)
    stream = watched.join()
    running = asyncio.create_task(watched.run())
    try:
        async with asyncio.timeout(SEEN_SECONDS):
            await stream.opened
            slots.taken.append("09:00")
            watched.note(SiteChange())
            await slots.asked_twice.wait()
            slots.taken.append("10:00")
            watched.note(SiteChange())
            await asyncio.sleep(0.2)  # a second reader, if there is one, reads meanwhile
            slots.answer_second.set()
            await asyncio.sleep(0.2)
            return sorted(slot for slot, _ in watched._taken)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_slow_read_is_not_passed_on_after_a_newer_one() -> None:
    """A window is read again only after an earlier read was passed on, so the newest state comes last."""
    assert await shown_at_last() == ["09:00", "10:00"]


async def test_control_reads_at_once_run_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two reads at once, the slower and older one comes last."""
    monkeypatch.setattr(WatchedWindow, "run", WatchedWindow.run)  # so that it is restored
    reads_at_once()
    assert await shown_at_last() == ["09:00"]
