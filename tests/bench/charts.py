"""Charts of the results."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from tests.bench.report import X_NAMES, parts_of
from tests.bench.results import Summary

COLOURS = {
    "ours": "#2a9d4a",
    "keyed": "#1f6f8b",
    "against": "#9ccfa8",
    "express": "#e8a33d",
    "fastapi": "#4a7fb5",
}
PART_COLOURS = {
    "gateway": "#2a9d4a",
    "booking_worker": "#6cc08b",
    "hold_worker": "#b5dcc0",
    "express": "#e8a33d",
    "fastapi": "#4a7fb5",
    "mongod": "#8a6fb0",
    "redis": "#c05a7a",
    "nats": "#888888",
}
SAME_LOAD = ("book", "storm", "hold", "cancel", "move")


def draw(summaries: Sequence[Summary], folder: Path) -> list[Path]:
    """Write a PNG for each kind of measurement, and remove those of an earlier run.

    Returns:
        The paths of the PNGs.
    """
    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("bench-*.png"):
        old.unlink()
    written = []
    for name, figure in _figures(summaries).items():
        if figure:
            path = folder / f"bench-{name}.png"
            figure.savefig(path, dpi=100)
            written.append(path)
    return written


def _figures(summaries: Sequence[Summary]) -> dict[str, Figure | None]:
    return {
        "rates": _rates([each for each in summaries if each.scenario in SAME_LOAD]),
        "cpu": _cpu([each for each in summaries if each.scenario in SAME_LOAD]),
        "connections": _sweep("connections", summaries, {"rate": "bookings/s", "p99": "p99 ms"}),
        "workers": _sweep("workers", summaries, {"rate": "bookings/s", "total_cpu": "CPU µs a booking"}),
        "stored": _sweep("stored", summaries, {"rate": "bookings/s", "p99": "p99 ms"}),
        "overload": _overload([each for each in summaries if "overload" in each.scenario]),
    }


def _sides(summaries: Sequence[Summary]) -> list[str]:
    return list(dict.fromkeys(each.side for each in summaries))


def _spread(summaries: Sequence[Summary]) -> list[list[float]]:
    below = [each.rate - each.lowest for each in summaries]
    return [below, [each.highest - each.rate for each in summaries]]


def _rates(summaries: Sequence[Summary]) -> Figure | None:
    if not summaries:
        return None
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    scenarios = list(dict.fromkeys(each.scenario for each in summaries))
    sides = _sides(summaries)
    width = 0.8 / len(sides)
    for number, side in enumerate(sides):
        own = [each for each in summaries if each.side == side]
        places = [scenarios.index(each.scenario) + (number - (len(sides) - 1) / 2) * width for each in own]
        bars = axes.bar(
            places,
            [each.rate for each in own],
            width * 0.92,
            yerr=_spread(own),
            capsize=3,
            color=COLOURS[side],
            label=side,
        )
        axes.bar_label(bars, fmt="{:,.0f}", fontsize=8)
    axes.set_xticks(range(len(scenarios)), scenarios)
    axes.set_title(f"requests a second, {summaries[0].x} connections", loc="left")
    _finish(axes)
    return figure


def _cpu(summaries: Sequence[Summary]) -> Figure | None:
    if not summaries:
        return None
    figure = Figure(figsize=(9, 1.8 + 0.35 * len(summaries)), layout="constrained")
    axes = figure.subplots()
    names = [f"{each.scenario}: {each.side}" for each in summaries]
    left = [0.0] * len(summaries)
    for part in parts_of(summaries):
        widths = [each.cpu.get(part, 0.0) for each in summaries]
        axes.barh(names, widths, left=left, color=PART_COLOURS[part], label=part, height=0.7)
        left = [before + width for before, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_title("CPU µs a request, by process", loc="left")
    _finish(axes)
    return figure


def _sweep(scenario: str, summaries: Sequence[Summary], panels: dict[str, str]) -> Figure | None:
    chosen = [each for each in summaries if each.scenario == scenario]
    places = sorted({each.x for each in chosen})
    if len(places) < 2:
        return None
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    for axes, (attribute, title) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for side in _sides(chosen):
            own = [each for each in chosen if each.side == side]
            xs, ys = [places.index(each.x) for each in own], [getattr(each, attribute) for each in own]
            spread = _spread(own) if attribute == "rate" else None
            axes.errorbar(xs, ys, yerr=spread, marker="o", capsize=3, color=COLOURS[side], label=side)
        axes.set_xticks(range(len(places)), [f"{x:,}" for x in places])
        axes.set_xlabel(X_NAMES[scenario])
        axes.set_title(title, loc="left")
        _finish(axes)
    return figure


def _overload(chosen: Sequence[Summary]) -> Figure | None:
    pairs = {}
    for peak in (each for each in chosen if each.x == 1):
        flooded = [each for each in chosen if (each.scenario, each.side) == (peak.scenario, peak.side)]
        via = "NATS" if "NATS" in peak.scenario else "HTTP"
        pairs[f"{peak.side}\nover {via}"] = peak, max(flooded, key=lambda each: each.x)
    if not pairs:
        return None
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, (name, colour) in enumerate({"peak": "#4a7fb5", "ten times the load": "#d1343b"}.items()):
        own = [pair[number] for pair in pairs.values()]
        places = [place + (number - 0.5) * 0.4 for place in range(len(own))]
        rates = [each.rate for each in own]
        bars = axes.bar(places, rates, 0.37, yerr=_spread(own), capsize=3, color=colour, label=name)
        axes.bar_label(bars, fmt="{:,.0f}", fontsize=8)
    axes.set_xticks(range(len(pairs)), list(pairs))
    axes.set_title("confirmed bookings a second", loc="left")
    _finish(axes)
    return figure


def _finish(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    bars_lie = axes.yaxis_inverted()
    (axes.set_xlim if bars_lie else axes.set_ylim)(0)
    (axes.xaxis if bars_lie else axes.yaxis).set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
