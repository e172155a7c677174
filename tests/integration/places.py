"""Random places on any grid, and a model of their claims that shares no code with the service."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

NINE = datetime(2031, 5, 4, 9, tzinfo=UTC)
RESOURCES = ("doctor", "nurse", "room.1", "room.2")
GRIDS = (0, 1, 5, 15, 60)
CELLS = 10
"""No place touches a later cell; the first cell starts at nine."""
MINUTE_MS = 60_000
Claims = frozenset[tuple[str, int]]
with_real_servers = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@dataclass(frozen=True)
class Place:
    """Some resources for `minutes` (None on a grid of 0), starting `after_ms` after nine o'clock."""

    grid: int
    resources: tuple[str, ...]
    after_ms: int
    minutes: int | None

    @property
    def claims(self) -> Claims:
        """The resource at each cell, numbered from nine o'clock, that the time overlaps."""
        width, begin = width_ms(self.grid), self.after_ms
        end = begin + (1 if self.minutes is None else self.minutes * MINUTE_MS)
        cells = [n for n in range(CELLS) if n * width < end and begin < (n + 1) * width]
        return frozenset((resource, cell) for resource in self.resources for cell in cells)

    @property
    def fields(self) -> dict[str, Any]:
        slot = (NINE + timedelta(milliseconds=self.after_ms)).isoformat()
        lasting = {} if self.minutes is None else {"durationMinutes": self.minutes}
        return {"resources": list(self.resources), "slot": slot, **lasting}

    def body(self, site: str, patient: str) -> dict[str, Any]:
        return {"site": site, "patientName": patient, **self.fields}


def width_ms(grid: int) -> int:
    """Return the width of a cell in ms; on a grid of 0, that of an instant."""
    return grid * MINUTE_MS or 1


def place_of(row: dict[str, Any], grid: int) -> Place:
    """Return the place of a row, or of an entry of its history."""
    after = row["slot"] - NINE
    return Place(grid, tuple(row["resources"]), after // timedelta(milliseconds=1), row["durationMinutes"])


def cell(grid: int, resource: str, number: int) -> Place:
    """Return the place that claims exactly one cell of a resource."""
    return Place(grid, (resource,), number * width_ms(grid), grid or None)


def cells(grid: int) -> list[Place]:
    """List the places of all cells of all resources."""
    return [cell(grid, resource, number) for resource in RESOURCES for number in range(CELLS)]


def places(grid: int, most_resources: int = 3) -> st.SearchStrategy[Place]:
    """Generate any instants and durations; many on cell edges, and many within one cell."""
    width = width_ms(grid)
    edges = st.builds(lambda cell, past: cell * width + past, st.integers(0, 5), st.sampled_from([0, 0, 1]))
    return st.builds(
        Place,
        st.just(grid),
        st.lists(st.sampled_from(RESOURCES), min_size=1, max_size=most_resources, unique=True).map(tuple),
        st.integers(0, 6 * width - 1) | edges,
        st.integers(1, 3 * grid) if grid else st.none(),
    )
