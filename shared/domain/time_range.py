"""Define a window of time at resources of a site, and the order of its entries."""

from dataclasses import dataclass
from typing import NamedTuple


class PagePosition(NamedTuple):
    """A position in the order of entries: by instant or cell (Unix ms), then by name."""

    at: int
    name: str


class Cells(NamedTuple):
    """Adjacent cells of a resource that belong to one booking or hold. `minutes` is None on a grid of 0."""

    at: int
    resource: str
    minutes: int | None

    @property
    def position(self) -> PagePosition:
        return PagePosition(self.at, self.resource)


@dataclass(frozen=True)
class TimeRange:
    """The time from `start` to before `end` (Unix ms) at some resources of a site; None means all of them."""

    site: str
    resources: tuple[str, ...] | None
    start: int
    end: int
