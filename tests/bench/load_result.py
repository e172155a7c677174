"""The result of a load: the answers and their latencies."""

from collections.abc import Set
from dataclasses import dataclass

from tests.bench.flood import DONE


@dataclass(frozen=True)
class LoadResult:
    """The answers of `seconds` of load by status, broken connections, and latencies in ms."""

    seconds: float
    statuses: dict[int, int]
    p50: float
    p99: float
    broken: int = 0
    also_done: frozenset[int] = frozenset()
    """Refusals that count as done."""
    tolerated: frozenset[int] = frozenset()
    """Refusals that do not count as done, but are right under too much load."""

    @property
    def done(self) -> int:
        return self._count(DONE | self.also_done)

    @property
    def wrong(self) -> int:
        """Return the number of requests with a wrong answer or without an answer."""
        unexpected = sum(self.statuses.values()) - self._count(DONE | self.also_done | self.tolerated)
        return unexpected + self.broken

    def _count(self, statuses: Set[int]) -> int:
        return sum(number for status, number in self.statuses.items() if status in statuses)
