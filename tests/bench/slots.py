"""Slots for loads: each slot has a cell of the default grid for itself."""

from datetime import UTC, datetime, timedelta
from itertools import count

from shared.process.settings import GridSettings

GRID_MINUTES: int = GridSettings.model_fields["slot_minutes"].default
CELL = timedelta(minutes=GRID_MINUTES)
_FIRST = datetime(2031, 1, 1, tzinfo=UTC)
_A_LOAD = timedelta(days=20 * 365)
"""More cells than any load uses."""
_loads = count()


def first_slot() -> datetime:
    """Return the first slot of a range that no earlier load has used, one cell after the other."""
    return _FIRST + next(_loads) * _A_LOAD
