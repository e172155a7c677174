"""All callers of a run: one third use the gateways, one third NATS, one third NATS in batches."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from random import Random

import httpx
import nats

from shared.process.nats_access import NatsAccess
from tests.callers import Caller, HttpCaller, NatsCaller
from tests.proof.faults.batch_caller import BatchCaller
from tests.proof.faults.client import CONTESTS, FaultClient
from tests.proof.faults.eraser import Eraser
from tests.proof.faults.history import Via
from tests.proof.faults.recorder import Recorder
from tests.proof.faults.slots import Slots
from tests.proof.faults.workload_calls import PATIENCE_SECONDS, Visit


@dataclass(frozen=True)
class Load:
    """How many callers send how many calls in a second, in total and for each slot.

    `haste`, `fickle` and `contests` are probabilities: that a caller gives up early, that it soon cancels
    its own booking, and that it requests a slot that a rival is about to cancel. `erasures` is how many names
    an operator erases in a second.
    """

    seed: int
    rate: float = 100.0
    clients: int = 24
    calls_a_slot: float = 20
    haste: float = 0.15
    fickle: float = 0.1
    contests: float = 0.05
    erasures: float = 2.0
    contest: tuple[str, ...] = CONTESTS
    """The kinds of contest."""


@asynccontextmanager
async def workload(
    recorder: Recorder,
    load: Load,
    gateways: Sequence[str],
    nats_urls: Sequence[str],
    mongo_uri: str,
    *,
    access: NatsAccess | None = None,
) -> AsyncIterator[asyncio.Event]:
    """Run the callers while the context lasts; it ends after every caller has its last answer.

    The yielded event makes them stop; leaving the context does so too.
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
                # With a buffer, the client would send a command after a reconnect, when its caller gave up.
                pending_size=-1,
                error_cb=_ignore,
                # The prefix keeps these inboxes apart: malformed messages go to gateways only.
                **(access.connect if access else {"inbox_prefix": "_INBOX_caller"}),
            )
            closing.push_async_callback(connection.close)
            prefix = access.subject_prefix if access else ""
            ways += [
                ("nats", NatsCaller(connection, prefix=prefix)),
                ("nats", BatchCaller(connection, prefix)),
            ]
        slots, known = Slots(recorder.now, load.rate / load.calls_a_slot), list[tuple[str, Visit]]()
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for number, (via, caller) in zip(range(load.clients), cycle(ways), strict=False):
                name = f"{via}{number:02}"
                random = Random(f"{load.seed}/{name}")
                pace = load.rate / load.clients
                one = FaultClient(
                    name,
                    via,
                    caller,
                    recorder,
                    random,
                    pace,
                    load.haste,
                    slots=slots,
                    known=known,
                    fickle=load.fickle,
                    contests=load.contests,
                    contest=load.contest,
                )
                group.create_task(one.run(stopping))
            eraser = Eraser(mongo_uri, recorder, Random(f"{load.seed}/eraser"), load.erasures, known)
            group.create_task(eraser.run(stopping))
            try:
                yield stopping
            finally:
                stopping.set()


async def _ignore(_error: Exception) -> None:
    """Ignore a lost connection: it is part of the run."""
