"""The cut-off of a booking, by the schedules of its resources."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.contract.errors import InvalidRequest
from shared.contract.instants import unix_milliseconds
from shared.contract.parsing import validate
from shared.contract.schedules import Schedule
from shared.domain.schedule.opening_hours import OpeningHours
from shared.domain.schedule.site import SiteSchedules

SLOT = datetime(2031, 5, 5, 9, tzinfo=UTC)
HOUR_MS = 60 * 60_000


def schedule(**more: Any) -> Schedule:
    weekly = [{"days": ["mon"], "from": "09:00", "to": "12:00"}]
    return validate(Schedule, {"title": "A", "timeZone": "UTC", "weekly": weekly, **more})


def is_too_late(milliseconds_before: int, **cut_offs: int | None) -> bool:
    """Judge a change so long before the slot of a booking of resources with these cut-offs."""
    site = SiteSchedules(
        {name: OpeningHours(schedule(cutOffMinutes=minutes)) for name, minutes in cut_offs.items()}
    )
    return site.is_too_late((*cut_offs, "none"), SLOT, unix_milliseconds(SLOT) - milliseconds_before)


def test_cut_off_is_its_minutes_before_the_slot() -> None:
    """At that instant a change is in time, a millisecond later it is not; 0 is the slot itself."""
    assert not is_too_late(HOUR_MS, lee=60)
    assert is_too_late(HOUR_MS - 1, lee=60)
    assert not is_too_late(0, lee=0)
    assert is_too_late(-1, lee=0)


def test_earliest_cut_off_of_the_resources_counts() -> None:
    """A resource without a schedule, or without a cut-off, limits nothing."""
    assert is_too_late(HOUR_MS - 1, lee=30, room=60)
    assert not is_too_late(-HOUR_MS, lee=None)
    assert not is_too_late(-HOUR_MS)


@pytest.mark.parametrize("minutes", [-1, 366 * 24 * 60 + 1, 1.5, True, "60"])
def test_wrong_cut_off_is_refused(minutes: object) -> None:
    """It is a whole number of minutes, at most those of 366 days."""
    with pytest.raises(InvalidRequest, match="cutOffMinutes must be a whole number from 0 to 527040"):
        schedule(cutOffMinutes=minutes)
