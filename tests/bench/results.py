"""The measurements, and their summaries: medians over the rounds, and their spread."""

import json
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.bench.load_result import LoadResult


class Point(NamedTuple):
    """A measured point; `x` counts connections, workers or appointments, or is a factor of the load."""

    scenario: str
    side: str
    x: int
    round: int


@dataclass(frozen=True)
class Measurement:
    """One round of one scenario at one side.

    `rate` counts done requests a second, `p50` and `p99` are in ms, `wrong` counts wrong answers. `cpu` is
    the CPU time in µs of a done request, by part; `memory` is the peak in MB of a part since its start.
    """

    point: Point
    rate: float
    p50: float
    p99: float
    wrong: int
    statuses: dict[int, int]
    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, point: Point, result: LoadResult, cpu_seconds: Mapping[str, float], memory: dict[str, float]
    ) -> "Measurement":
        cpu = {}
        if result.done:
            cpu = {part: seconds / result.done * 1e6 for part, seconds in cpu_seconds.items()}
        return cls(
            point,
            rate=result.done / result.seconds,
            p50=result.p50,
            p99=result.p99,
            wrong=result.wrong,
            statuses=result.statuses,
            cpu=cpu,
            memory=memory,
        )


@dataclass(frozen=True)
class Summary:
    """The medians of the rounds of one scenario, side and x; `lowest` and `highest` are rates."""

    scenario: str
    side: str
    x: int
    rounds: int
    rate: float
    lowest: float
    highest: float
    p50: float
    p99: float
    wrong: int
    cpu: dict[str, float]
    memory: dict[str, float]

    @property
    def total_cpu(self) -> float:
        return sum(self.cpu.values())

    @property
    def spread(self) -> float:
        """Return half of the range of the rates, as a fraction of the median."""
        return (self.highest - self.lowest) / 2 / self.rate if self.rate else 0.0

    @classmethod
    def of(cls, rounds: list[Measurement]) -> "Summary":
        first = rounds[0]
        metered = [each for each in rounds if each.cpu]

        def median(figure: Callable[[Measurement], float]) -> float:
            return statistics.median(map(figure, rounds))

        return cls(
            *first.point[:3],
            rounds=len(rounds),
            rate=median(lambda each: each.rate),
            lowest=min(each.rate for each in rounds),
            highest=max(each.rate for each in rounds),
            p50=median(lambda each: each.p50),
            p99=median(lambda each: each.p99),
            wrong=sum(each.wrong for each in rounds),
            cpu={
                part: statistics.median(each.cpu[part] for each in metered)
                for part in (metered or rounds)[0].cpu
            },
            memory={part: max(each.memory[part] for each in rounds) for part in first.memory},
        )


def summarise(measurements: Iterable[Measurement]) -> list[Summary]:
    """Summarise every scenario, x and side: scenarios and sides in order of measurement, x ascending."""
    rounds: dict[tuple[str, str, int], list[Measurement]] = {}
    for each in measurements:
        rounds.setdefault(each.point[:3], []).append(each)
    scenarios = list(dict.fromkeys(scenario for scenario, _, _ in rounds))
    in_order = sorted(rounds.items(), key=lambda item: (scenarios.index(item[0][0]), item[0][2]))
    return [Summary.of(each) for _, each in in_order]


def write_json(measurements: list[Measurement], options: dict[str, object], path: Path) -> None:
    """Write the options, all measurements and their summaries."""
    report = {
        "options": {
            name: str(value) if isinstance(value, Path) else value for name, value in options.items()
        },
        "summaries": [asdict(each) for each in summarise(measurements)],
        "measurements": [_flat(each) for each in measurements],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")


def _flat(measurement: Measurement) -> dict[str, object]:
    fields = asdict(measurement)
    del fields["point"]
    return {**measurement.point._asdict(), **fields}
