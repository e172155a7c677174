"""Run callers and faults on a cluster; then heal everything, read the rows back, and judge."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from tests.proof.checker import Verdict, check
from tests.proof.faults.cluster import Cluster
from tests.proof.faults.event_stream import read_events
from tests.proof.faults.history import History
from tests.proof.faults.nemesis import Nemesis, PlannedFault, plan
from tests.proof.faults.offers import offer_services
from tests.proof.faults.receivers import DELIVERED_SECONDS, receivers
from tests.proof.faults.recorder import Recorder
from tests.proof.faults.stored import read_rows
from tests.proof.faults.workload import Load, workload

AFTERWARDS_SECONDS = 3.0
"""How long callers continue after the faults are healed, so that late effects become visible."""
CAUSED_ERRORS = {"worker_clock": ('"event": "clock_is_wrong"',)}
"""The errors that services rightly log because of a fault."""


@dataclass(frozen=True)
class RunOptions:
    """The seed, duration and faults of a run; `without` names safeguards that services lack.

    `secure`: NATS has accounts, so no fault can take commands or listen to replies."""

    seed: int
    seconds: float
    kinds: Sequence[str]
    rate: float = 100.0
    without: str = ""
    secure: bool = False


@dataclass(frozen=True)
class RunResult:
    """The history of a run, the checker's verdict, and breaches of the contract."""

    history: History
    verdict: Verdict
    oddities: Sequence[str]
    skipped: Sequence[str]
    seconds_to_heal: float
    seconds_to_publish: float
    seconds_to_deliver: float

    @property
    def passed(self) -> bool:
        return self.verdict.accepted and not self.oddities


Watch = Callable[[Recorder, Nemesis], None]


async def run(options: RunOptions, watch: Watch = lambda *_: None) -> RunResult:
    """Start a cluster and run on it; `watch` receives the recorder and the nemesis at the start."""
    async with Cluster(without=options.without, secure=options.secure) as cluster:
        planned = plan(options.seed, options.kinds)
        return await run_on(cluster, Load(options.seed, options.rate), planned, options.seconds, watch)


async def run_on(
    cluster: Cluster,
    load: Load,
    planned: Iterable[PlannedFault],
    seconds: float,
    watch: Watch = lambda *_: None,
    *,
    webhook_seconds: float = DELIVERED_SECONDS,
) -> RunResult:
    """Run on a started cluster without bookings.

    Receivers have `webhook_seconds` after the run to get all events; 0: there are no receivers.
    """
    recorder = Recorder()
    nemesis = Nemesis(cluster, recorder.now)
    watch(recorder, nemesis)
    urls = list(cluster.services.urls.values())
    await offer_services(urls[0])
    async with receivers(urls[0], recorder) if webhook_seconds else nullcontext() as hooks:
        async with workload(
            recorder, load, urls, cluster.nats_urls, cluster.mongo_uri, access=cluster.client
        ) as stopping:
            await nemesis.run(planned, seconds)
            healed = recorder.now()
            await cluster.wait_ready()
            seconds_to_heal = recorder.now() - healed
            if nemesis.faults:
                await asyncio.sleep(AFTERWARDS_SECONDS)
            stopping.set()
        await cluster.wait_ready()
        rows = await asyncio.to_thread(read_rows, cluster.mongo_uri, recorder)
        read = recorder.now()
        events = await read_events(cluster.nats_urls, cluster.operator, recorder, rows)
        published = recorder.now()
        ids = {event.id for event in events}
        webhooks = await hooks.settled(ids, webhook_seconds) if hooks else None
        delivered = recorder.now()
    history = History(tuple(recorder.operations), rows, tuple(nemesis.faults), events, webhooks)
    verdict = await asyncio.to_thread(check, history)
    caused = {event for fault in nemesis.faults for event in CAUSED_ERRORS.get(fault.kind, ())}
    oddities = [*recorder.oddities, *cluster.services.complaints, *_errors(cluster, caused)]
    return RunResult(
        history,
        verdict,
        oddities,
        nemesis.skipped,
        seconds_to_heal,
        seconds_to_publish=published - read,
        seconds_to_deliver=delivered - published,
    )


def _errors(cluster: Cluster, caused: Collection[str]) -> list[str]:
    """Return services that ended by themselves, and logged errors that no fault has caused."""
    lines = [f"{name} ended by itself" for name in cluster.services.died()]
    for name, log in cluster.services.logs():
        errors = (line for line in log.splitlines() if _is_error(line))
        lines += [f"{name} logged {line}" for line in errors if not any(event in line for event in caused)]
    return lines


def _is_error(line: str) -> bool:
    return '"level": "error"' in line or '"level": "critical"' in line or line.startswith("Traceback")
