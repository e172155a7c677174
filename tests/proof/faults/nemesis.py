"""Inject faults. The seed decides their kind, order and duration; at most two are active at once."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random

from tests.proof.faults.cluster import Cluster
from tests.proof.faults.fault_catalog import FAULT_KINDS, FaultKind
from tests.proof.faults.history import Fault
from tests.proof.faults.server_faults import FaultNotPossible

OVERLAP = 0.3
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 2.0


@dataclass(frozen=True)
class PlannedFault:
    """A fault to inject; with `after_previous`, only after the previous fault has healed."""

    kind: FaultKind
    pause: float
    lasting: float
    after_previous: bool
    seed: str


def plan(seed: int, kinds: Sequence[str]) -> Iterator[PlannedFault]:
    """Yield faults without end. Every kind occurs once before any kind occurs again."""
    random = Random(seed)
    deck: list[str] = []
    previous = ""
    for number in count():
        deck = deck or random.sample(sorted(kinds), len(kinds))
        kind = FAULT_KINDS[deck.pop()]
        yield PlannedFault(
            kind,
            random.uniform(SHORTEST_PAUSE, LONGEST_PAUSE),
            random.uniform(kind.shortest, kind.longest),
            kind.family == previous or random.random() > OVERLAP,
            f"{seed}/{number}",
        )
        previous = kind.family


class Nemesis:
    """Carries out a plan, and records its faults."""

    def __init__(self, cluster: Cluster, now: Callable[[], float]) -> None:
        self.faults: list[Fault] = []
        self.skipped: list[str] = []
        self._cluster = cluster
        self._now = now
        self._active: dict[int, tuple[str, str]] = {}
        self._number = count()

    @property
    def status(self) -> str:
        """The faults that are active now."""
        return ", ".join(f"{kind} ({target})" for kind, target in self._active.values())

    async def run(self, planned: Iterable[PlannedFault], seconds: float) -> None:
        """Inject faults for `seconds`, and heal the last ones."""
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

    async def _inject(self, fault: PlannedFault) -> None:
        number, began = next(self._number), self._now()
        try:
            async with fault.kind.inject(self._cluster, Random(fault.seed)) as target:
                self._active[number] = fault.kind.name, target
                await asyncio.sleep(fault.lasting)
        except FaultNotPossible:
            self.skipped.append(fault.kind.name)
            return
        finally:
            self._active.pop(number, None)
        self.faults.append(Fault(fault.kind.name, began, self._now(), target))
