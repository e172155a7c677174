"""The slots that callers compete for: new hours all the time, with most requests for the newest.

A caller wants some of the resources for a while, so that bookings overlap in some of their claims. Some
callers want the same in the other site, where the claims differ. A move stays within the hour. No two hours
share a claim, so the checker judges at most one hour of one site as a whole.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

from tests.proof.faults.places import GRID_MINUTES, VISIT, VISIT_MINUTES, Place, slot_text

SITES = ("clinic", "annexe")
RESOURCES = ("dr-who", "room-1", "room-2")
ELSEWHERE = 0.15
WITH_SERVICE = 0.2
FIRST = datetime(2031, 1, 1, tzinfo=UTC)
FAR = timedelta(days=3650)
CROWD_AT_LAST = 6.0
OLD = 0.15
OLDEST_SECONDS = 9.0
STEPS = 3
"""The number of wanted slots in an hour."""


class Slots:
    """Add an hour at a fixed rate; older hours are requested too, when holds may have expired."""

    def __init__(self, now: Callable[[], float], per_second: float) -> None:
        self._now = now
        self._per_second = per_second

    def choose(self, random: Random) -> Place:
        """Choose a site, one or more resources, a slot and a duration."""
        return self._within(random, SITES[random.random() < ELSEWHERE], self._choose_hour(random))

    def near(self, random: Random, place: Place) -> Place:
        """Choose a place in the same hour of the site; it may be the same place."""
        hour = datetime.fromisoformat(place.slot).replace(minute=0)
        return self._within(random, place.site, hour)

    def far_off(self, place: Place) -> str:
        """Return the same time ten years later, which no other caller requests."""
        far = datetime.fromisoformat(place.slot) + FAR
        return slot_text(far)

    def _within(self, random: Random, site: str, hour: datetime) -> Place:
        resources = tuple(sorted(random.sample(RESOURCES, random.choice((1, 1, 2, 3)))))
        step = random.choice((0, 0, 0, 1, 2))
        steps = random.choice([1, 1, *range(1, STEPS - step + 1)])
        # A start or end inside a cell gives the same cells, since a booking claims every touched cell.
        late = random.choice((0, 0, 0, 1, 2))
        early = random.choice((0, 0, 0, 1, 2))
        slot = slot_text(hour + timedelta(minutes=step * GRID_MINUTES + late))
        if random.random() < WITH_SERVICE:
            return Place(site, resources, slot, VISIT_MINUTES, VISIT)
        return Place(site, resources, slot, steps * GRID_MINUTES - late - early)

    def _choose_hour(self, random: Random) -> datetime:
        newest = int(self._now() * self._per_second)
        if random.random() < OLD:
            back = random.uniform(0, OLDEST_SECONDS * self._per_second)
        else:
            back = random.expovariate(1 / CROWD_AT_LAST)
        return FIRST + timedelta(hours=max(0, newest - int(back)))
