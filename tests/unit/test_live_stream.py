"""A live stream serves a client that reads, and drops a client that does not read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Message

from gateway.live import stream as stream_module
from gateway.live.stream import MOST_WAITING, LiveResponse, LiveStream
from shared.contract.errors import NotExecuted


class Client:
    """A client of a stream, with the events it has received; a `deaf` client takes one event."""

    def __init__(self, stream: LiveStream, *, deaf: bool = False) -> None:
        self.left, self.has_left = asyncio.Event(), False
        self.received: list[Message] = []
        self._deaf = deaf
        self._news = asyncio.Condition()
        self._response = LiveResponse(stream, self._note_end)

    @property
    def bodies(self) -> list[bytes]:
        return [message["body"] for message in self.received[1:]]

    async def run(self) -> None:
        await self._response({"type": "http"}, self._receive, self._send)

    async def until(self, number: int) -> None:
        """Wait until it has received so many events."""
        async with self._news, asyncio.timeout(5):
            await self._news.wait_for(lambda: len(self.bodies) >= number)

    def _note_end(self) -> None:
        self.has_left = True

    async def _receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        async with self._news:
            self.received.append(message)
            self._news.notify_all()
        if self._deaf and len(self.received) > 1:
            await asyncio.Event().wait()


@asynccontextmanager
async def client_of(
    stream: LiveStream, *, deaf: bool = False
) -> AsyncIterator[tuple[Client, asyncio.Task[None]]]:
    client = Client(stream, deaf=deaf)
    answering = asyncio.create_task(client.run())
    yield client, answering
    async with asyncio.timeout(5):
        await answering
    assert client.has_left


async def test_events_come_in_order_until_the_client_leaves() -> None:
    """A client receives the snapshot and then each event; the stream ends when it leaves."""
    stream = LiveStream()
    stream.open(b"snapshot")
    async with client_of(stream) as (client, _):
        stream.put(b"changes")
        await client.until(2)
        client.left.set()
    assert client.bodies == [b"snapshot", b"changes"]
    assert all(message["more_body"] for message in client.received[1:])


async def test_client_that_reads_nothing_is_dropped_once_too_much_waits() -> None:
    """Beyond the event in flight, a bounded number of events waits for a client; one more ends its stream."""
    stream = LiveStream()
    stream.open(b"snapshot")
    async with client_of(stream, deaf=True) as (client, answering):
        await client.until(1)
        for _ in range(MOST_WAITING):
            stream.put(b"changes")
        await asyncio.sleep(0)
        assert not answering.done()
        stream.put(b"changes")
    assert client.bodies == [b"snapshot"]


async def test_idle_stream_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream without events sends comments, so that no proxy takes it for dead."""
    monkeypatch.setattr(stream_module, "KEEP_ALIVE_SECONDS", 0.01)
    async with client_of(LiveStream()) as (client, _):
        await client.until(2)
        client.left.set()
    assert set(client.bodies) == {b": ping\n\n"}


async def test_end_sends_what_waits_and_when_to_come_back() -> None:
    """At its end a stream sends its waiting events and a comment with a time to come back, then ends."""
    stream = LiveStream()
    stream.open(b"snapshot")
    async with client_of(stream) as (client, _):
        stream.end()
    snapshot, last, nothing = client.bodies
    assert (snapshot, nothing) == (b"snapshot", b"")
    assert last.startswith(b": stopping\nretry: ")
    assert not client.received[-1].get("more_body")


async def test_end_waits_for_no_client_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not read the end is dropped shortly after it."""
    monkeypatch.setattr(stream_module, "LAST_SECONDS", 0.01)
    stream = LiveStream()
    stream.open(b"snapshot")
    async with client_of(stream, deaf=True) as (client, _):
        await client.until(1)
        stream.end()


async def test_stream_that_ends_before_its_snapshot_is_refused() -> None:
    """A stream whose snapshot is not there yet when the gateway stops is refused with 503."""
    stream = LiveStream()
    stream.end()
    with pytest.raises(NotExecuted):
        await stream.opened
