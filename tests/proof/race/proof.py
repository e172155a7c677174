"""One proof from end to end: race, aftermath, verdict, report."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from rich.console import Console

from tests.proof.race.aftermath import give_back, settle
from tests.proof.race.checked import check_run
from tests.proof.race.connections import (
    Connections,
    HttpConnections,
    NatsConnections,
    UnreachableError,
)
from tests.proof.race.operations import Operation, Run
from tests.proof.race.options import Options, Via
from tests.proof.race.plan import Planner
from tests.proof.race.race import Recorder
from tests.proof.race.record import write_record
from tests.proof.race.report import Report
from tests.proof.race.rows import rows_of
from tests.proof.race.verdict import Verdict, judge

# So many requests are under way together; more slots than that allows race in turn, each slot as a whole.
REQUESTS_AT_ONCE = 600
NATS_CONNECTIONS = 4


async def prove(options: Options, console: Console) -> int:
    """Race for fresh slots, judge what was answered, and report it.

    Returns:
        0 if every invariant held and every request was answered, else 1.

    Raises:
        UnreachableError: the deployment does not answer at all.
        OSError: the JSON file cannot be written.
    """
    planner = Planner(options)
    report = Report(console, options)
    async with _connections(options) as connections:
        report.begin(planner.site, planner.resources)
        with report.progress() as progress:
            task = report.track(progress)

            def advance(operation: Operation) -> None:
                progress.advance(task, operation.ask.step == "race")

            run = await _run(options, planner, connections, Recorder(connections, advance))
    verdict = judge(run)
    if options.check:
        verdict = Verdict(verdict.violations + check_run(run))
    report.rows(rows_of(run, options.mongo, proved=verdict.proved))
    report.finish(run, verdict)
    if options.json:
        write_record(options.json, options, run, verdict)
    return 0 if verdict.proved else 1


async def _run(
    options: Options, planner: Planner, connections: dict[Via, Connections], recorder: Recorder
) -> Run:
    for slots in _waves(planner.slots, options.contenders):
        # Refreshes connections; if that fails now, the requests themselves tell.
        with suppress(UnreachableError):
            await _warm(connections)
        await _race(slots, options, planner, recorder)
        # Half of the winners give back what they have, and it is raced for again.
        again = [slot for slot in slots[::2] if not _unknown(recorder, slot)]
        await _give_back(again, planner, recorder, for_good=False)
        for slot in again:
            planner.again(slot)
        if again:
            await _race(again, options, planner, recorder)
        await _give_back(slots, planner, recorder, for_good=True)
    return Run(
        planner.site,
        planner.resources,
        recorder.began_at,
        recorder.race_seconds,
        tuple(recorder.operations),
    )


async def _race(slots: list[str], options: Options, planner: Planner, recorder: Recorder) -> None:
    raced = await recorder.race([ask for slot in slots for ask in planner.race(slot)])
    async with asyncio.TaskGroup() as group:
        for slot in slots:
            contenders = [operation for operation in raced if operation.ask.slot == slot]
            group.create_task(settle(slot, contenders, options, planner, recorder))


async def _give_back(slots: list[str], planner: Planner, recorder: Recorder, *, for_good: bool) -> None:
    async with asyncio.TaskGroup() as group:
        for slot in slots:
            raced = [
                each
                for each in recorder.operations
                if each.ask.slot == slot and each.ask.round == planner.round(slot)
            ]
            group.create_task(give_back(slot, raced, planner, recorder, for_good=for_good))


def _unknown(recorder: Recorder, slot: str) -> bool:
    """Whether something may be booked there that cannot be given back."""
    return any(each.ask.slot == slot and each.answer.outcome == "unknown" for each in recorder.operations)


def _waves(slots: list[str], contenders: int) -> Iterator[list[str]]:
    size = max(1, REQUESTS_AT_ONCE // contenders)
    for start in range(0, len(slots), size):
        yield slots[start : start + size]


@asynccontextmanager
async def _connections(options: Options) -> AsyncIterator[dict[Via, Connections]]:
    at_once = min(REQUESTS_AT_ONCE, options.slots * options.contenders)

    def make(via: Via) -> Connections:
        if via == "http":
            return HttpConnections(options.url, connections=at_once, timeout=options.timeout)
        return NatsConnections(options.nats, connections=NATS_CONNECTIONS, timeout=options.timeout)

    async with AsyncExitStack() as stack:
        opened: dict[Via, Connections] = {}
        for via in options.transports:
            opened[via] = make(via)
            stack.push_async_callback(opened[via].close)
        await _warm(opened)
        yield opened


async def _warm(connections: dict[Via, Connections]) -> None:
    for each in connections.values():
        await each.warm()
