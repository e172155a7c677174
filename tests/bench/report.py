"""The tables: rates, latencies, CPU time and memory."""

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
# A scenario of ours, and the bookings of ours in the same run that it is compared with.
BOOKINGS = {
    "half hour": "book",
    "two an hour": "book",
    "overlap": "storm",
    "cancel": "book",
    "move": "book",
    "nats": "book",
    "nats many": "book",
    "cancel many": "nats many",
    "move many": "nats many",
    "with relay": "without relay",
    "catching up": "without relay",
}
# The monoliths have no such scenario: it is compared with their bookings.
_COMPARED_WITH_BOOKINGS = {*BOOKINGS, "workers", "stored", "overload over NATS"}
FIGURES = ("/s", "spread", "× mono.", "× book", "× against", "p50 ms", "p99 ms", "CPU µs", "× mono.", "wrong")


def print_report(console: Console, summaries: Sequence[Summary], options: Options) -> None:
    """Print the results, and compare every rate with that of a monolith under the same load."""
    rounds = f"{options.rounds} round{'s' * (options.rounds > 1)} of {options.seconds} s"
    console.print(
        f"{rounds}, {options.connections} connections; medians, ± half of the range",
        style="dim",
    )
    at_one_load = dict.fromkeys([*AT_ONE_LOAD, *BOOKINGS, *BOOKINGS.values()])
    groups = [("one load", at_one_load), *((name, [name]) for name in X_NAMES), ("reads", READS)]
    for title, scenarios in groups:
        chosen = [each for each in summaries if each.scenario in scenarios]
        if chosen:
            console.print(_rates(title, chosen, summaries))
    console.print(_cpu(summaries))
    console.print(_memory(summaries))


def monolith_baseline(summary: Summary, summaries: Iterable[Summary]) -> Summary | None:
    """Return a monolith's result under the same load: Express if it was measured, else FastAPI."""
    scenario, x = (
        ("book", None) if summary.scenario in _COMPARED_WITH_BOOKINGS else (summary.scenario, summary.x)
    )
    found = {
        each.side: each
        for each in summaries
        if each.side in MONOLITHS and each.scenario == scenario and x in (None, each.x)
    }
    return found.get(EXPRESS) or found.get(FASTAPI)


def booking_baseline(summary: Summary, summaries: Iterable[Summary]) -> Summary | None:
    """Return the same side's bookings over the same transport, if they are the baseline of this scenario."""
    place = BOOKINGS.get(summary.scenario), summary.side
    return next((each for each in summaries if (each.scenario, each.side) == place), None)


def other_checkout(summary: Summary, summaries: Iterable[Summary]) -> Summary | None:
    """Return the other checkout's result under the same load, if this is a result of ours."""
    if summary.side != OURS:
        return None
    place = summary.scenario, AGAINST, summary.x
    return next((each for each in summaries if (each.scenario, each.side, each.x) == place), None)


def _ratio(summary: Summary, other: Summary | None) -> str:
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
        monolith = monolith_baseline(each, summaries)
        table.add_row(
            f"{each.x:,}" if title in X_NAMES else f"{each.scenario} {each.x:,}",
            each.side,
            f"{each.rate:,.0f}",
            f"±{each.spread:.0%}",
            _ratio(each, monolith),
            _ratio(each, booking_baseline(each, summaries)),
            _ratio(each, other_checkout(each, summaries)),
            f"{each.p50:.2f}",
            f"{each.p99:.2f}",
            f"{each.total_cpu:,.0f}" if each.cpu else "",
            f"{each.total_cpu / monolith.total_cpu:.2f}"
            if each.cpu and monolith and monolith.total_cpu
            else "",
            Text(f"{each.wrong:,}", style="bold red" if each.wrong else ""),
        )
    return table


def parts_of(summaries: Iterable[Summary]) -> list[str]:
    """Return the parts of all sides: services first, then servers."""
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
