"""What callers heard under a load."""

from collections.abc import Set
from dataclasses import dataclass

from tests.bench.flood import DONE


@dataclass(frozen=True)
class Heard:
    """What callers heard in `seconds`: answers by status, connections that broke, latencies in ms."""

    seconds: float
    statuses: dict[int, int]
    p50: float
    p99: float
    broken: int = 0
    as_good: frozenset[int] = frozenset()
    """Refusals that are as good an answer as what was asked for."""
    to_expect: frozenset[int] = frozenset()
    """Those that are not, but are right under too much load."""

    @property
    def done(self) -> int:
        return self._count(DONE | self.as_good)

    @property
    def wrong(self) -> int:
        """Requests that were answered as they should not be, or not at all."""
        others = sum(self.statuses.values()) - self._count(DONE | self.as_good | self.to_expect)
        return others + self.broken

    def _count(self, statuses: Set[int]) -> int:
        return sum(number for status, number in self.statuses.items() if status in statuses)
