"""What callers compete for: fresh slots all the time, most of the crowd at the freshest.

Each wants some of the resources then, so that bookings overlap in some of what they claim; a few want the
same in another site, where it is something else. No two instants share a claim: what the checker must judge
together stays as small as one instant of one site.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

from tests.faults.places import slot_text

SITES = ("clinic", "annexe")
RESOURCES = ("dr-who", "room-1", "room-2")
ELSEWHERE = 0.15
FIRST = datetime(2031, 1, 1, tzinfo=UTC)
CROWD_AT_LAST = 6.0
OLD = 0.15
OLDEST_SECONDS = 9.0


class Slots:
    """One more slot every so often; an older one is asked for too, when holds may have expired."""

    def __init__(self, now: Callable[[], float], per_second: float) -> None:
        self._now = now
        self._per_second = per_second

    def choose(self, random: Random) -> tuple[str, tuple[str, ...], str]:
        """A site, one or more of its resources, and a slot in its canonical form."""
        resources = random.sample(RESOURCES, random.randint(1, len(RESOURCES)))
        return SITES[random.random() < ELSEWHERE], tuple(sorted(resources)), self._choose_slot(random)

    def _choose_slot(self, random: Random) -> str:
        newest = int(self._now() * self._per_second)
        if random.random() < OLD:
            back = random.uniform(0, OLDEST_SECONDS * self._per_second)
        else:
            back = random.expovariate(1 / CROWD_AT_LAST)
        return slot_text(FIRST + timedelta(minutes=max(0, newest - int(back))))
