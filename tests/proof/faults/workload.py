"""All callers of a run: a third of them each through the gateways, straight on NATS, and there by many."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from random import Random

import httpx
import nats

from tests.callers import Caller, HttpCaller, NatsCaller
from tests.proof.faults.client import CONTESTS, FaultClient
from tests.proof.faults.history import Via
from tests.proof.faults.many_caller import ManyCaller
from tests.proof.faults.recorder import Recorder
from tests.proof.faults.slots import Slots
from tests.proof.faults.workload_calls import PATIENCE_SECONDS, Visit


@dataclass(frozen=True)
class Crowd:
    """How many callers there are, and about how many calls they make in a second, and about one hour.

    `haste`, `fickle` and `contests` are probabilities: that a caller gives up early, that it soon cancels
    what it booked, and that it asks for what a rival is about to cancel.
    """

    seed: int
    rate: float = 100.0
    clients: int = 24
    calls_a_slot: float = 20
    haste: float = 0.15
    fickle: float = 0.1
    contests: float = 0.05
    contest: tuple[str, ...] = CONTESTS
    """The kinds of what is contested."""


@asynccontextmanager
async def workload(
    recorder: Recorder, crowd: Crowd, gateways: Sequence[str], nats_urls: Sequence[str]
) -> AsyncIterator[asyncio.Event]:
    """Callers at work while the context lasts; it ends when each has heard its last answer.

    The event that it gives tells them to stop; leaving the context does so too.
    """
    async with AsyncExitStack() as closing:
        ways: list[tuple[Via, Caller]] = []
        for url in gateways:
            client = httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS)
            ways.append(("http", HttpCaller(await closing.enter_async_context(client))))
        for number in range(len(gateways)):
            connection = await nats.connect(
                [*nats_urls[number:], *nats_urls[:number]],
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.25,
                # Else a command is kept while there is no connection, and sent after its caller gave up.
                pending_size=-1,
                error_cb=_ignore,
                # Malformed messages are sent to the inboxes of gateways alone.
                inbox_prefix="_INBOX_caller",
            )
            closing.push_async_callback(connection.close)
            ways += [("nats", NatsCaller(connection)), ("nats", ManyCaller(connection))]
        slots, known = Slots(recorder.now, crowd.rate / crowd.calls_a_slot), list[tuple[str, Visit]]()
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for number, (via, caller) in zip(range(crowd.clients), cycle(ways), strict=False):
                name = f"{via}{number:02}"
                random = Random(f"{crowd.seed}/{name}")
                pace = crowd.rate / crowd.clients
                one = FaultClient(
                    name,
                    via,
                    caller,
                    recorder,
                    random,
                    pace,
                    crowd.haste,
                    slots=slots,
                    known=known,
                    fickle=crowd.fickle,
                    contests=crowd.contests,
                    contest=crowd.contest,
                )
                group.create_task(one.run(stopping))
            try:
                yield stopping
            finally:
                stopping.set()


async def _ignore(_error: Exception) -> None:
    """A lost connection is part of the run."""
