"""A relay beside bookings: what it costs them, and how fast it publishes what it has missed."""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nats
from nats.js.errors import NotFoundError

from deploy.local.errors import StackError
from deploy.local.ports import LOOPBACK
from deploy.local.process import end
from shared.contract.events import STREAM
from tests.bench.cpu import Pids
from tests.bench.load_result import LoadResult
from tests.bench.servers import Servers
from tests.bench.sides import STOP_SECONDS, OurWorker, Running, wait_ready

MODULE = "booking_worker.events"
PUBLISHED_SECONDS = 120.0
LOOK_SECONDS = 0.02


class Relay:
    """A relay process of a running side, started and stopped on demand."""

    def __init__(self, servers: Servers, running: Running, logs: Path) -> None:
        env = {
            "HOST": LOOPBACK,
            "PORT": "1",
            "MONGO_URI": running.mongo_uri,
            "NATS_URL": servers.nats.url,
        }
        self._nats_url = servers.nats.url
        self._process = OurWorker(running.checkout, MODULE, "relay", logs / "relay.log", env)

    @property
    def pids(self) -> Pids:
        return {"relay": [self._process.pid]}

    def start(self) -> None:
        self._process.spawn()
        wait_ready(self._process)

    def stop(self) -> None:
        end([self._process], STOP_SECONDS)

    def published(self) -> int:
        """Return the number of events in the stream, so far."""
        return asyncio.run(self._until(0))

    def catch_up(self, before: int, bookings: int) -> LoadResult:
        """Start the relay, and measure how fast it publishes the events of `bookings` after the first ones.

        `before` is the number of events before them.
        """
        self._process.spawn()
        first = asyncio.run(self._until(before + 1))
        began = time.perf_counter()
        last = asyncio.run(self._until(before + bookings))
        seconds = time.perf_counter() - began
        return LoadResult(seconds, {201: last - first}, p50=0.0, p99=0.0)

    async def _until(self, count: int) -> int:
        """Wait for this many events; return how many there are."""
        connection = await nats.connect(self._nats_url)
        try:
            async with asyncio.timeout(PUBLISHED_SECONDS):
                while True:
                    found = await _count(connection.jetstream())
                    if found >= count:
                        return found
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            raise StackError(f"the relay has not published {count} events") from None
        finally:
            await connection.close()


async def _count(jetstream: nats.js.JetStreamContext) -> int:
    try:
        return (await jetstream.stream_info(STREAM)).state.last_seq
    except NotFoundError:
        return 0


@contextmanager
def relay(servers: Servers, running: Running) -> Iterator[Relay]:
    """Yield a relay of this side that is running, and stop it afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-logs-") as logs:
        found = Relay(servers, running, Path(logs))
        found.start()
        try:
            yield found
        finally:
            found.stop()
