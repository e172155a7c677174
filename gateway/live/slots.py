"""Live slots of this gateway: follow each site once and read each window once, for all of its streams."""

import asyncio
from contextvars import Context

from gateway.live.metrics import STREAMS
from gateway.live.stream import LiveStream
from gateway.live.window import Slots, WatchedWindow, read_slots
from shared.client.command_client import CommandClient
from shared.client.site_changes import SiteChange, SiteFollower
from shared.contract.commands import ListSlots
from shared.contract.errors import NotExecuted, Overloaded, TooManyRequests

DEFAULT_MOST_STREAMS = 1000
MOST_WINDOWS = 100
PART = 10
"""A network that shares limits has at most this part of the streams, and of the windows: one in ten."""
MOST_READS = 4
"""Windows that are read at a time."""


class LiveSlots:
    """The live streams, at most `most_streams`, of at most `MOST_WINDOWS` windows.

    A client that watches many windows from one network leaves most of them to other patients.
    `client` is set while the gateway runs.
    """

    def __init__(self, most_streams: int = DEFAULT_MOST_STREAMS) -> None:
        self.client: CommandClient | None = None
        self._most_streams = most_streams
        self._sites: dict[str, _Site] = {}
        self._streams: dict[LiveStream, tuple[ListSlots, str | None]] = {}
        self._reading = asyncio.Semaphore(MOST_READS)
        self._ended = False
        self._stopping = set[asyncio.Task[None]]()
        STREAMS.set_function(lambda: len(self._streams))

    async def open(self, window: ListSlots, network: str | None = None) -> LiveStream:
        """Open a stream of a window, whose snapshot is read after this call.

        Args:
            window: what to watch.
            network: of the client, if its network shares limits.

        Raises:
            Overloaded: there are `most_streams` or `MOST_WINDOWS` already.
            TooManyRequests: the network has its part of them already.
            Refused: the window could not be read.
        """
        self.check_room(network)
        stream = self._join(window, network)
        try:
            await stream.opened
        except BaseException:
            self.leave(stream)
            raise
        return stream

    def check_room(self, network: str | None = None) -> None:
        """Refuse another stream if there is no room for it.

        Raises:
            Overloaded, NotExecuted, TooManyRequests
        """
        if self._ended or self.client is None:
            raise NotExecuted
        if len(self._streams) >= self._most_streams:
            raise Overloaded
        if network and len(self._windows_of(network)) >= max(1, self._most_streams // PART):
            raise TooManyRequests

    def leave(self, stream: LiveStream) -> None:
        """Forget a stream that has ended, and its window and site if no other stream watches them."""
        window, _ = self._streams.pop(stream)
        site = self._sites[window.site]
        site.leave(window, stream)
        if not site.windows:
            del self._sites[window.site]
            task = asyncio.create_task(site.follower.stop(), context=Context())
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)

    def end(self) -> None:
        """End all streams, and open no more: the gateway stops."""
        self._ended = True
        for stream in self._streams:
            stream.end()

    def _windows_of(self, network: str) -> list[ListSlots]:
        """Return the windows of all streams of a network."""
        return [window for window, of in self._streams.values() if of == network]

    def _join(self, window: ListSlots, network: str | None) -> LiveStream:
        assert self.client is not None  # noqa: S101 - `check_room` has checked it
        site = self._sites.get(window.site)
        is_new = site is None or window not in site.windows
        if is_new and sum(len(each.windows) for each in self._sites.values()) >= MOST_WINDOWS:
            raise Overloaded
        if is_new and network and len(set(self._windows_of(network))) >= MOST_WINDOWS // PART:
            raise TooManyRequests
        if site is None:
            site = self._sites[window.site] = _Site(self.client, window.site, self._reading)
        stream = site.join(window)
        self._streams[stream] = window, network
        return stream


class _Site:
    """A site that is followed, and its windows, each with the task that reads it."""

    def __init__(self, client: CommandClient, name: str, reading: asyncio.Semaphore) -> None:
        self._client = client
        self._reading = reading
        self.follower = SiteFollower(client.connection, name, self._note)
        self.windows: dict[ListSlots, WatchedWindow] = {}
        self._readers: dict[ListSlots, asyncio.Task[None]] = {}

    def join(self, window: ListSlots) -> LiveStream:
        watched = self.windows.get(window)
        if watched is None:
            watched = self.windows[window] = WatchedWindow(window, self._read)
            # Without the context of the request that happens to be the first.
            self._readers[window] = asyncio.create_task(watched.run(), context=Context())
        return watched.join()

    def leave(self, window: ListSlots, stream: LiveStream) -> None:
        watched = self.windows[window]
        watched.leave(stream)
        if not watched.watched:
            del self.windows[window]
            self._readers.pop(window).cancel()

    def _note(self, change: SiteChange) -> None:
        for watched in self.windows.values():
            watched.note(change)

    async def _read(self, window: ListSlots) -> Slots:
        await self.follower.start()
        async with self._reading:
            return await read_slots(self._client, window)
