"""Run one proof from end to end: race, follow-up requests, verdict, report."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from http import HTTPStatus
from uuid import uuid4

from rich.console import Console

from tests.proof.faults.history import Via
from tests.proof.race.aftermath import clean_up, follow_up
from tests.proof.race.connections import (
    Connections,
    HttpConnections,
    NatsConnections,
    NotPermittedError,
    UnreachableError,
)
from tests.proof.race.exchanges import Exchange, Run
from tests.proof.race.history_check import check_run
from tests.proof.race.options import Options
from tests.proof.race.plan import Planner
from tests.proof.race.record import write_record
from tests.proof.race.report import Report
from tests.proof.race.rows import delete_rows
from tests.proof.race.runner import RaceRunner
from tests.proof.race.verdict import RaceVerdict, judge

# The most requests in flight at once. If the slots need more, they race in waves, each slot as a whole.
REQUESTS_AT_ONCE = 600
NATS_CONNECTIONS = 4
NEEDS_KEY = "The gateway needs a valid key: SLOTKEEPER_API_KEY"
ENOUGH = "a proof needs a key of all sites with the scopes book, hold, cancel, read and names"


async def prove(options: Options, console: Console) -> int:
    """Race for fresh slots, judge the answers, and report the verdict.

    Returns:
        0 if every invariant held and every request was answered, else 1.

    Raises:
        UnreachableError: the deployment does not answer at all.
        NotPermittedError: it needs a key, or another one.
        OSError: the JSON file cannot be written.
    """
    planner = Planner(options)
    report = Report(console, options)
    async with _connections(options) as connections:
        await _check_key(connections, options)
        report.begin(planner.site, planner.resources)
        with report.progress() as progress:
            task = report.track(progress)

            def advance(exchange: Exchange) -> None:
                progress.advance(task, exchange.request.step == "race")

            run = await _run(options, planner, connections, RaceRunner(connections, advance))
    verdict = judge(run)
    if options.check:
        verdict = RaceVerdict(verdict.violations + check_run(run))
    report.rows(delete_rows(run, options.mongo, proved=verdict.proved))
    report.finish(run, verdict)
    if options.json:
        write_record(options.json, options, run, verdict)
    return 0 if verdict.proved else 1


async def _check_key(connections: dict[Via, Connections], options: Options) -> None:
    """Check that the key permits each call of a proof, by requests that change nothing.

    Raises:
        NotPermittedError
    """
    planner = Planner(options)
    slot = planner.slots[0]
    booking, hold = planner.book("race", slot, planner.resources), planner.hold("race", slot, ())
    requests = [
        replace(booking, body={}),  # 400 if it is permitted
        *([replace(hold, body={})] if options.holds else []),
        planner.window("find", "list", slot, planner.resources[0]),
        planner.cancel(slot, str(uuid4())),
    ]
    for each in connections.values():
        for request in requests:
            reply = await each.build(request)()
            if reply.status == HTTPStatus.UNAUTHORIZED:
                raise NotPermittedError(NEEDS_KEY)
            if reply.status == HTTPStatus.FORBIDDEN:
                raise NotPermittedError(f"{reply.error}: {ENOUGH}")


async def _run(
    options: Options, planner: Planner, connections: dict[Via, Connections], runner: RaceRunner
) -> Run:
    for slots in _waves(planner.slots, options.contenders):
        # Reopen connections that have expired. If that fails, the requests themselves fail and are judged.
        with suppress(UnreachableError):
            await _warm(connections)
        await _race(slots, options, planner, runner)
        # Cancel the winners of every second slot, and race for these slots again.
        again = [slot for slot in slots[::2] if not _unknown(runner, slot)]
        await _clean_up(again, planner, runner, final=False)
        for slot in again:
            planner.start_next_round(slot)
        if again:
            await _race(again, options, planner, runner)
        await _clean_up(slots, planner, runner, final=True)
    return Run(
        planner.site,
        planner.resources,
        runner.began_at,
        runner.race_seconds,
        tuple(runner.exchanges),
    )


async def _race(slots: list[str], options: Options, planner: Planner, runner: RaceRunner) -> None:
    raced = await runner.race([request for slot in slots for request in planner.race(slot)])
    async with asyncio.TaskGroup() as group:
        for slot in slots:
            contenders = [exchange for exchange in raced if exchange.request.slot == slot]
            group.create_task(follow_up(slot, contenders, options, planner, runner))


async def _clean_up(slots: list[str], planner: Planner, runner: RaceRunner, *, final: bool) -> None:
    async with asyncio.TaskGroup() as group:
        for slot in slots:
            raced = [
                each
                for each in runner.exchanges
                if each.request.slot == slot and each.request.round == planner.round(slot)
            ]
            group.create_task(clean_up(slot, raced, planner, runner, final=final))


def _unknown(runner: RaceRunner, slot: str) -> bool:
    """Whether the slot may have a booking that cannot be cancelled, since its answer was lost."""
    return any(each.request.slot == slot and each.reply.outcome == "unknown" for each in runner.exchanges)


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
        return NatsConnections(
            options.nats, connections=NATS_CONNECTIONS, timeout=options.timeout, access=options.access
        )

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
