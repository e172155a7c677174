"""The tables: how fast, how dear, how large."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.bench.options import AT_ONE_LOAD, Options
from tests.bench.results import Summary
from tests.bench.sides import AGAINST, EXPRESS, FASTAPI, MONOLITHS, OURS

X_NAMES = {
    "connections": "connections",
    "workers": "booking workers",
    "stored": "appointments",
    "overload": "times the load",
    "overload over NATS": "times the peak",
}
READS = ("appointment", "day", "slots")
# What our own is compared with, in the same run.
BOOKINGS = {
    "cancel": "book",
    "move": "book",
    "nats": "book",
    "nats many": "book",
    "cancel many": "nats many",
    "move many": "nats many",
}
# Nothing of theirs is in the same place: their bookings are.
_APART = {*BOOKINGS, "workers", "stored", "overload over NATS"}
FIGURES = ("/s", "spread", "× mono.", "× book", "× against", "p50 ms", "p99 ms", "CPU µs", "× mono.", "wrong")


def print_report(console: Console, summaries: Sequence[Summary], options: Options) -> None:
    """Print what was measured, with each rate beside that of the monolith in the same place."""
    rounds = f"{options.rounds} round{'s' * (options.rounds > 1)} of {options.seconds} s"
    console.print(
        f"{rounds}, {options.connections} connections; medians, ± half of the range",
        style="dim",
    )
    at_one_load = dict.fromkeys([*AT_ONE_LOAD, *BOOKINGS])
    groups = [("one load", at_one_load), *((name, [name]) for name in X_NAMES), ("reads", READS)]
    for title, scenarios in groups:
        chosen = [each for each in summaries if each.scenario in scenarios]
        if chosen:
            console.print(_rates(title, chosen, summaries))
    console.print(_cpu(summaries))
    console.print(_memory(summaries))


def yardstick(summary: Summary, summaries: Iterable[Summary]) -> Summary | None:
    """The monolith that a rate is compared with: over HTTP, in the same place; Express where it was run."""
    scenario, x = ("book", None) if summary.scenario in _APART else (summary.scenario, summary.x)
    found = {
        each.side: each
        for each in summaries
        if each.side in MONOLITHS and each.scenario == scenario and x in (None, each.x)
    }
    return found.get(EXPRESS) or found.get(FASTAPI)


def booking(summary: Summary, summaries: Iterable[Summary]) -> Summary | None:
    """Bookings of the same side by the same way: what a change of a booking is compared with, for one."""
    place = BOOKINGS.get(summary.scenario), summary.side
    return next((each for each in summaries if (each.scenario, each.side) == place), None)


def against(summary: Summary, summaries: Iterable[Summary]) -> Summary | None:
    """The same at the other checkout, for what was measured at this one."""
    if summary.side != OURS:
        return None
    place = summary.scenario, AGAINST, summary.x
    return next((each for each in summaries if (each.scenario, each.side, each.x) == place), None)


def _times(summary: Summary, other: Summary | None) -> str:
    return f"{summary.rate / other.rate:.2f}" if other and other.rate else ""


def _rates(title: str, chosen: Sequence[Summary], summaries: Sequence[Summary]) -> Table:
    table = _table(title, X_NAMES.get(title, ""), "side")
    for column in FIGURES:
        table.add_column(column, justify="right")
    last = None
    for each in chosen:
        if last not in (None, (each.scenario, each.x)):
            table.add_section()
        last = each.scenario, each.x
        beside = yardstick(each, summaries)
        table.add_row(
            f"{each.x:,}" if title in X_NAMES else f"{each.scenario} {each.x:,}",
            each.side,
            f"{each.rate:,.0f}",
            f"±{each.spread:.0%}",
            _times(each, beside),
            _times(each, booking(each, summaries)),
            _times(each, against(each, summaries)),
            f"{each.p50:.2f}",
            f"{each.p99:.2f}",
            f"{each.total_cpu:,.0f}" if each.cpu else "",
            f"{each.total_cpu / beside.total_cpu:.2f}" if each.cpu and beside and beside.total_cpu else "",
            Text(f"{each.wrong:,}", style="bold red" if each.wrong else ""),
        )
    return table


def parts_of(summaries: Iterable[Summary]) -> list[str]:
    """The parts of all sides: services first, then servers."""
    parts = dict.fromkeys(part for each in summaries for part in each.memory)
    servers = ("mongod", "redis", "nats")
    return [*(part for part in parts if part not in servers), *(part for part in servers if part in parts)]


def _cpu(summaries: Sequence[Summary]) -> Table:
    parts = parts_of(summaries)
    table = _table("CPU µs a request, by part (all processes of each)", "", "side")
    for column in (*parts, "all"):
        table.add_column(column, justify="right")
    for each in summaries:
        if each.cpu and each.scenario not in ("connections", "overload"):
            figures = [f"{each.cpu[part]:,.0f}" if part in each.cpu else "" for part in parts]
            table.add_row(f"{each.scenario} {each.x:,}", each.side, *figures, f"{each.total_cpu:,.0f}")
    return table


def _memory(summaries: Sequence[Summary]) -> Table:
    parts = parts_of(summaries)
    table = _table("peak memory MB, of the largest process of each part", "side")
    for part in parts:
        table.add_column(part, justify="right")
    for side in dict.fromkeys(each.side for each in summaries):
        own = [each.memory for each in summaries if each.side == side]
        most = {part: max((each[part] for each in own if part in each), default=0.0) for part in parts}
        table.add_row(side, *(f"{most[part]:,.0f}" if most[part] else "" for part in parts))
    return table


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=f"\n{title}", title_justify="left", box=SIMPLE_HEAD)
