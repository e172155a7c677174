"""Injects faults: what, when and how long is drawn from the seed; at most two at once."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random

from tests.proof.faults.cluster import Cluster
from tests.proof.faults.fault_catalog import KINDS, Kind
from tests.proof.faults.history import Fault
from tests.proof.faults.server_faults import Impossible

OVERLAP = 0.3
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 2.0


@dataclass(frozen=True)
class Planned:
    """A fault to come; `after_previous` tells that it waits for the one before to be healed."""

    kind: Kind
    pause: float
    lasting: float
    after_previous: bool
    seed: str


def plan(seed: int, kinds: Sequence[str]) -> Iterator[Planned]:
    """Faults without end. Every kind comes once before any comes again."""
    random = Random(seed)
    deck: list[str] = []
    previous = ""
    for number in count():
        deck = deck or random.sample(sorted(kinds), len(kinds))
        kind = KINDS[deck.pop()]
        yield Planned(
            kind,
            random.uniform(SHORTEST_PAUSE, LONGEST_PAUSE),
            random.uniform(kind.shortest, kind.longest),
            kind.family == previous or random.random() > OVERLAP,
            f"{seed}/{number}",
        )
        previous = kind.family


class Nemesis:
    """Carries out a plan, and keeps a record of it."""

    def __init__(self, cluster: Cluster, now: Callable[[], float]) -> None:
        self.faults: list[Fault] = []
        self.skipped: list[str] = []
        self._cluster = cluster
        self._now = now
        self._under_way: dict[int, tuple[str, str]] = {}
        self._number = count()

    @property
    def status(self) -> str:
        """What is broken at the moment."""
        return ", ".join(f"{kind} ({target})" for kind, target in self._under_way.values())

    async def run(self, planned: Iterable[Planned], seconds: float) -> None:
        """Inject faults for some time, and heal the last ones."""
        ends = self._now() + seconds
        async with asyncio.TaskGroup() as group:
            tasks: list[asyncio.Task[None]] = []
            for fault in planned:
                busy = [task for task in tasks if not task.done()]
                if busy and (fault.after_previous or len(busy) > 1):
                    await asyncio.wait(busy)
                await asyncio.sleep(fault.pause)
                if self._now() >= ends:
                    return
                tasks = [*busy, group.create_task(self._inject(fault))]
            await asyncio.sleep(max(0, ends - self._now()))

    async def _inject(self, fault: Planned) -> None:
        number, began = next(self._number), self._now()
        try:
            async with fault.kind.inject(self._cluster, Random(fault.seed)) as target:
                self._under_way[number] = fault.kind.name, target
                await asyncio.sleep(fault.lasting)
        except Impossible:
            self.skipped.append(fault.kind.name)
            return
        finally:
            self._under_way.pop(number, None)
        self.faults.append(Fault(fault.kind.name, began, self._now(), target))
