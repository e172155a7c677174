"""What was measured, and what is told of it: medians over the rounds, and their spread."""

import json
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.bench.load_result import Heard


class Where(NamedTuple):
    """`x` is the place in a sweep: connections, workers, appointments, or how many times the load."""

    scenario: str
    side: str
    x: int
    round: int


@dataclass(frozen=True)
class Measurement:
    """One round of one scenario at one side.

    `rate` is requests done a second, `p50` and `p99` are in ms. `wrong` counts answers as they should not be.
    `cpu` is µs a request that was done, by part; `memory` MB, the peak of a part since it was started.
    """

    where: Where
    rate: float
    p50: float
    p99: float
    wrong: int
    statuses: dict[int, int]
    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, where: Where, heard: Heard, cpu_seconds: Mapping[str, float], memory: dict[str, float]
    ) -> "Measurement":
        each = (
            {part: seconds / heard.done * 1e6 for part, seconds in cpu_seconds.items()} if heard.done else {}
        )
        return cls(
            where,
            rate=heard.done / heard.seconds,
            p50=heard.p50,
            p99=heard.p99,
            wrong=heard.wrong,
            statuses=heard.statuses,
            cpu=each,
            memory=memory,
        )


@dataclass(frozen=True)
class Summary:
    """The rounds of one scenario, side and x: medians; `lowest` and `highest` rate; the most memory."""

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
        """Half of what lies between the lowest and the highest rate, as a part of the median."""
        return (self.highest - self.lowest) / 2 / self.rate if self.rate else 0.0

    @classmethod
    def of(cls, rounds: list[Measurement]) -> "Summary":
        first = rounds[0]
        told = [each for each in rounds if each.cpu]

        def median(figure: Callable[[Measurement], float]) -> float:
            return statistics.median(map(figure, rounds))

        return cls(
            *first.where[:3],
            rounds=len(rounds),
            rate=median(lambda each: each.rate),
            lowest=min(each.rate for each in rounds),
            highest=max(each.rate for each in rounds),
            p50=median(lambda each: each.p50),
            p99=median(lambda each: each.p99),
            wrong=sum(each.wrong for each in rounds),
            cpu={
                part: statistics.median(each.cpu[part] for each in told) for part in (told or rounds)[0].cpu
            },
            memory={part: max(each.memory[part] for each in rounds) for part in first.memory},
        )


def summarise(measurements: Iterable[Measurement]) -> list[Summary]:
    """One summary for each scenario, x and side; scenarios and sides as they came, x from the smallest."""
    rounds: dict[tuple[str, str, int], list[Measurement]] = {}
    for each in measurements:
        rounds.setdefault(each.where[:3], []).append(each)
    scenarios = list(dict.fromkeys(scenario for scenario, _, _ in rounds))
    in_order = sorted(rounds.items(), key=lambda item: (scenarios.index(item[0][0]), item[0][2]))
    return [Summary.of(each) for _, each in in_order]


def write_json(measurements: list[Measurement], options: dict[str, object], path: Path) -> None:
    """Everything that was measured, and the summaries."""
    told = {
        "options": {
            name: str(value) if isinstance(value, Path) else value for name, value in options.items()
        },
        "summaries": [asdict(each) for each in summarise(measurements)],
        "measurements": [_flat(each) for each in measurements],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=1) + "\n")


def _flat(measurement: Measurement) -> dict[str, object]:
    told = asdict(measurement)
    del told["where"]
    return {**measurement.where._asdict(), **told}
