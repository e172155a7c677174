"""Draw a run: when each caller got which answer, and which faults were active."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.proof.faults.history import Fault, History

COLOURS = {"ok": "#2a9d4a", "refused": "#4a7fb5", "not_executed": "#e8a33d", "unknown": "#d1343b"}
FAMILIES = {
    "worker": "#8a6fb0",
    "gateway": "#8a6fb0",
    "relay": "#5f8a3a",
    "webhooks": "#7a7a2a",
    "nats": "#3aa6a0",
    "mongo": "#b07a3a",
    "redis": "#c05a7a",
}


def draw(history: History, path: Path, title: str) -> None:
    """Write the picture as a PNG."""
    mpl.use("Agg")
    clients = sorted({each.client for each in history.operations})
    seconds = max((each.returned or each.invoked for each in history.operations), default=1.0)
    figure = Figure(figsize=(min(40, max(14, seconds / 3)), 10), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    _draw_faults(above, below, history.faults, seconds)
    _draw_operations(below, history, clients)
    above.set_title(
        f"{title}: {len(history.operations)} operations, {len(history.faults)} faults", loc="left"
    )
    below.set_xlabel("seconds since the run began")
    below.set_xlim(0, seconds)
    figure.savefig(path, dpi=100)


def _draw_operations(axes: Axes, history: History, clients: list[str]) -> None:
    for outcome, colour in COLOURS.items():
        own = [each for each in history.operations if each.outcome == outcome]
        ends = [each.returned or each.invoked for each in own]
        lanes = [clients.index(each.client) for each in own]
        axes.hlines(lanes, [each.invoked for each in own], ends, colors=colour, alpha=0.35, linewidth=2)
        axes.scatter(ends, lanes, s=12, color=colour, label=f"{outcome} ({len(own)})", zorder=3)
    axes.set_yticks(range(len(clients)), clients, fontsize=7)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=len(COLOURS), frameon=False)


def _draw_faults(above: Axes, below: Axes, faults: tuple[Fault, ...], seconds: float) -> None:
    """Draw a bar for each fault, a line for each kind, and shade the same time behind the operations."""
    kinds = sorted({fault.kind for fault in faults}, reverse=True)
    for fault in faults:
        ended = fault.ended if fault.ended is not None else seconds
        colour = FAMILIES.get(fault.kind.partition("_")[0], "#888888")
        lane, width = kinds.index(fault.kind), max(0.15, ended - fault.began)
        above.barh(lane, width, left=fault.began, color=colour, height=0.7)
        above.annotate(
            fault.target,
            (fault.began + width, lane),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=6,
        )
        below.axvspan(fault.began, fault.began + width, color=colour, alpha=0.12, linewidth=0)
    above.set_yticks(range(len(kinds)), kinds, fontsize=7)
