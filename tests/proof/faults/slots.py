"""What callers compete for: fresh hours all the time, most of the crowd at the freshest.

Each wants some of the resources for a while then, so that bookings overlap in some of what they claim; a few
want the same in another site, where it is something else. Whoever moves, moves within the hour. No two hours
share a claim: what the checker must judge together stays as small as one hour of one site.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

from tests.proof.faults.places import GRID_MINUTES, Place, slot_text

SITES = ("clinic", "annexe")
RESOURCES = ("dr-who", "room-1", "room-2")
ELSEWHERE = 0.15
FIRST = datetime(2031, 1, 1, tzinfo=UTC)
FAR = timedelta(days=3650)
CROWD_AT_LAST = 6.0
OLD = 0.15
OLDEST_SECONDS = 9.0
STEPS = 3
"""Each hour has so many slots that anybody wants."""


class Slots:
    """One more hour every so often; an older one is asked for too, when holds may have expired."""

    def __init__(self, now: Callable[[], float], per_second: float) -> None:
        self._now = now
        self._per_second = per_second

    def choose(self, random: Random) -> Place:
        """A site, one or more of its resources, a slot and how long."""
        return self._within(random, SITES[random.random() < ELSEWHERE], self._choose_hour(random))

    def near(self, random: Random, place: Place) -> Place:
        """Another place in the same hour of the site, or the same."""
        hour = datetime.fromisoformat(place.slot).replace(minute=0)
        return self._within(random, place.site, hour)

    def far_off(self, place: Place) -> str:
        """The same time years later, where nobody else asks for anything."""
        far = datetime.fromisoformat(place.slot) + FAR
        return slot_text(far)

    def _within(self, random: Random, site: str, hour: datetime) -> Place:
        resources = tuple(sorted(random.sample(RESOURCES, random.choice((1, 1, 2, 3)))))
        step = random.choice((0, 0, 0, 1, 2))
        steps = random.choice([1, 1, *range(1, STEPS - step + 1)])
        # Where a slot or an end lies off the grid, the cells are the same.
        late = random.choice((0, 0, 0, 1, 2))
        early = random.choice((0, 0, 0, 1, 2))
        slot = slot_text(hour + timedelta(minutes=step * GRID_MINUTES + late))
        return Place(site, resources, slot, steps * GRID_MINUTES - late - early)

    def _choose_hour(self, random: Random) -> datetime:
        newest = int(self._now() * self._per_second)
        if random.random() < OLD:
            back = random.uniform(0, OLDEST_SECONDS * self._per_second)
        else:
            back = random.expovariate(1 / CROWD_AT_LAST)
        return FIRST + timedelta(hours=max(0, newest - int(back)))
