"""Print progress during a run, and tables at the end."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from rich.console import Console
from rich.table import Table

from tests.proof.faults.history import Outcome
from tests.proof.faults.nemesis import Nemesis
from tests.proof.faults.recorder import Recorder
from tests.proof.faults.run import RunOptions, RunResult

OUTCOMES: tuple[Outcome, ...] = ("ok", "refused", "not_executed", "unknown")
MOST_SHOWN = 20


class Progress:
    """A live line on a terminal, else a new line every ten seconds."""

    def __init__(self, console: Console, options: RunOptions) -> None:
        self._console = console
        self._options = options
        self._at_work: tuple[Recorder, Nemesis] | None = None

    def watch(self, recorder: Recorder, nemesis: Nemesis) -> None:
        """Show these from now on."""
        self._at_work = recorder, nemesis

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Show the line while the context lasts."""
        showing = asyncio.create_task(self._show())
        try:
            yield
        finally:
            showing.cancel()
            with suppress(asyncio.CancelledError):
                await showing

    async def _show(self) -> None:
        if not self._console.is_terminal:
            while True:
                self._console.print(self._line(), soft_wrap=True, highlight=False)
                await asyncio.sleep(10)
        with self._console.status(self._line()) as status:
            while True:
                status.update(self._line())
                await asyncio.sleep(0.25)

    def _line(self) -> str:
        if self._at_work is None:
            return "starting three mongods, three nats-servers, a Valkey and the services"
        recorder, nemesis = self._at_work
        outcomes = Counter(each.outcome for each in recorder.operations)
        counts = ", ".join(f"{outcomes[outcome]} {outcome}" for outcome in OUTCOMES)
        now = min(recorder.now(), self._options.seconds)
        broken = nemesis.status or "nothing is broken"
        return f"{now:.0f}/{self._options.seconds:.0f} s: {counts}; {len(nemesis.faults)} faults; {broken}"


def print_result(console: Console, result: RunResult) -> None:
    """Print the tables, the violations and the breaches of the contract."""
    history, verdict = result.history, result.verdict
    console.print(_operations(result))
    faults = _table("faults", ["kind", "injected", "seconds"])
    for kind, number in sorted(Counter(fault.kind for fault in history.faults).items()):
        seconds = sum((each.ended or each.began) - each.began for each in history.faults if each.kind == kind)
        faults.add_row(kind, str(number), f"{seconds:.1f}")
    console.print(faults)
    if result.skipped:
        console.print(f"skipped, for they could not be injected: {', '.join(result.skipped)}")
    figures = _table("verdict", ["", ""])
    figures.show_header = False
    figures.add_row("bookings read back", str(len(history.rows)))
    figures.add_row("events read back", str(len(history.events or ())))
    figures.add_row("seconds until the last event", f"{result.seconds_to_publish:.1f}")
    deliveries = history.webhooks.deliveries if history.webhooks else ()
    figures.add_row("deliveries of webhooks", str(len(deliveries)))
    figures.add_row("seconds until the last delivery", f"{result.seconds_to_deliver:.1f}")
    figures.add_row("seconds from healed to ready", f"{result.seconds_to_heal:.1f}")
    figures.add_row("answers that break the contract", str(len(result.oddities)))
    figures.add_row("violations", str(len(verdict.violations)))
    console.print(figures)
    _print_some(console, verdict.violations)
    _print_some(console, result.oddities)


def _operations(result: RunResult) -> Table:
    table = _table("operations", ["kind", "via", *OUTCOMES, "all"])
    counts = Counter((each.kind, each.via, each.outcome) for each in result.history.operations)
    for kind, via in sorted({(kind, via) for kind, via, _ in counts}):
        numbers = [counts[kind, via, outcome] for outcome in OUTCOMES]
        table.add_row(kind, via, *map(str, [*numbers, sum(numbers)]))
    every = Counter(each.outcome for each in result.history.operations)
    table.add_section()
    table.add_row("all", "", *(str(every[outcome]) for outcome in OUTCOMES), str(every.total()))
    return table


def _table(title: str, columns: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 or column == "via" else "right")
    return table


def _print_some(console: Console, found: Iterable[object]) -> None:
    lines = [str(each) for each in found]
    for line in lines[:MOST_SHOWN]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if len(lines) > MOST_SHOWN:
        console.print(f"and {len(lines) - MOST_SHOWN} more")
