"""The options of the benchmark."""

from dataclasses import dataclass
from pathlib import Path

AT_ONE_LOAD = ("book", "storm", "hold", "alone", "beside", "long", "overlap", "cancel", "move")
SWEEPS = ("connections", "workers", "stored", "reads", "overload", "nats", "relay")
SCENARIOS = (*AT_ONE_LOAD, *SWEEPS)


@dataclass(frozen=True)
class Options:
    """The validated command line; `seconds` is the duration of one measurement."""

    sides: tuple[str, ...]
    against: Path | None
    only: tuple[str, ...]
    connections: int
    rounds: int
    seconds: int
    over_connections: tuple[int, ...]
    over_workers: tuple[int, ...]
    over_stored: tuple[int, ...]
    output: Path
