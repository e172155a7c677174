"""A watched window: read it when something in it may have changed, and pass changes on to its streams."""

import asyncio
import heapq
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from fastapi.sse import format_sse_event

from gateway.http.errors import unknown
from gateway.live.metrics import CHANGE_SECONDS, READS
from gateway.live.stream import LiveStream
from shared.client.command_client import CommandClient
from shared.client.site_changes import SiteChange
from shared.contract.commands import ListSlots
from shared.contract.errors import Refused
from shared.contract.events import EventPlace
from shared.contract.operations import LIST_SLOTS

DEBOUNCE_SECONDS = 0.04
"""Changes of this time are read together."""
LONGEST_PAUSE_SECONDS = 4.5
"""A window is read again after this time, so that a lost event or hint does no lasting harm."""
RETRY_SECONDS = 1.0
CLOCKS_APART_SECONDS = 0.25
RECONNECT_MS = 2000
LONGEST_CELL = timedelta(days=1)
MOST_EXPIRIES = 1000
"""Ends of holds at which a window is read; the reads at `LONGEST_PAUSE_SECONDS` find the others."""
LONGEST_EXPIRY_SECONDS = 24 * 60 * 60.0

Slots = dict[str, Any]
"""The body of `GET /api/slots`, of all pages."""

log = structlog.get_logger()


async def read_slots(client: CommandClient, window: ListSlots) -> Slots:
    """Read all pages of a window.

    Raises:
        Refused
    """
    READS.inc()
    slots: Slots = {}
    while True:
        page = json.loads((await client.send(LIST_SLOTS, window)).json)
        cursor = page.pop("next", None)
        if slots:
            slots["taken"] += page["taken"]
            slots["holds"] = "unknown" if "unknown" in (slots["holds"], page["holds"]) else "known"
        else:
            slots = page
        if cursor is None:
            return slots
        window = window.model_copy(update={"cursor": cursor})


class WatchedWindow:
    """One window and its streams. It is read by one task, so that no stream sees it run backwards."""

    def __init__(self, window: ListSlots, read: Callable[[ListSlots], Awaitable[Slots]]) -> None:
        self._window = window
        self._read = read
        self._streams = set[LiveStream]()
        self._wake = asyncio.Event()
        self._changed_at: float | None = None
        self._expiries: list[float] = []
        self._taken: Mapping[tuple[str, str], Any] = {}
        self._holds = ""
        self._number = 0

    @property
    def watched(self) -> bool:
        return bool(self._streams)

    def join(self) -> LiveStream:
        """Return a new stream, whose snapshot is read after this call."""
        stream = LiveStream()
        self._streams.add(stream)
        self._wake.set()
        return stream

    def leave(self, stream: LiveStream) -> None:
        self._streams.discard(stream)

    def note(self, change: SiteChange) -> None:
        """Read the window soon, if it may have changed, and when a new hold ends."""
        if change.places and not any(map(self._touches, change.places)):
            return
        now = asyncio.get_running_loop().time()
        if self._changed_at is None:
            self._changed_at = now
        self._wake.set()
        if change.expires_at is not None and len(self._expiries) < MOST_EXPIRIES:
            seconds = (change.expires_at - datetime.now(UTC)).total_seconds()
            if seconds > LONGEST_EXPIRY_SECONDS:
                return
            ends = now + seconds
            for at in (ends, ends + CLOCKS_APART_SECONDS):
                heapq.heappush(self._expiries, at)

    async def run(self) -> None:
        """Read the window and pass its changes on, for ever."""
        while True:
            await self._wait()
            await asyncio.sleep(DEBOUNCE_SECONDS)
            self._wake.clear()
            changed_at, self._changed_at = self._changed_at, None
            joining = {stream for stream in self._streams if not stream.opened.done()}
            try:
                self._pass_on(await self._read(self._window), joining)
            except Exception as error:
                if not isinstance(error, Refused):
                    log.exception("live_read_failed")
                for stream in joining:
                    stream.refuse(error if isinstance(error, Refused) else unknown("GET"))
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()
            else:
                if changed_at is not None:
                    CHANGE_SECONDS.observe(asyncio.get_running_loop().time() - changed_at)

    async def _wait(self) -> None:
        """Wait for a change, a new stream or the end of a hold, for at most `LONGEST_PAUSE_SECONDS`."""
        loop = asyncio.get_running_loop()
        due = min([loop.time() + LONGEST_PAUSE_SECONDS, *self._expiries[:1]])
        try:
            async with asyncio.timeout_at(due):
                await self._wake.wait()
        except TimeoutError:
            pass
        while self._expiries and self._expiries[0] <= loop.time():
            heapq.heappop(self._expiries)

    def _pass_on(self, slots: Slots, joining: set[LiveStream]) -> None:
        taken = {(row["slot"], row["resource"]): row for row in slots["taken"]}
        new = [row for place, row in taken.items() if self._taken.get(place) != row]
        freed = [row for place, row in self._taken.items() if place not in taken]
        if new or freed or slots["holds"] != self._holds:
            self._number += 1
            changes = self._event("changes", {"taken": new, "freed": freed, "holds": slots["holds"]})
            for stream in self._streams - joining:
                if stream.opened.done():
                    stream.put(changes)
        self._taken, self._holds = taken, slots["holds"]
        if joining:
            snapshot = self._event("snapshot", slots, retry=RECONNECT_MS)
            for stream in joining & self._streams:
                stream.open(snapshot)

    def _event(self, name: str, data: Mapping[str, Any], retry: int | None = None) -> bytes:
        text = json.dumps(data, separators=(",", ":"))
        return format_sse_event(event=name, data_str=text, id=str(self._number), retry=retry)

    def _touches(self, place: EventPlace) -> bool:
        """Whether a place may have a cell in the window."""
        listed: Sequence[str] | None = self._window.resource
        if listed is not None and not set(listed) & set(place.resources):
            return False
        begins = place.slot - timedelta(minutes=place.bufferBefore or 0)
        ends = place.slot + timedelta(minutes=(place.durationMinutes or 0) + (place.bufferAfter or 0))
        return begins - LONGEST_CELL < self._window.to and ends + LONGEST_CELL > self._window.from_
