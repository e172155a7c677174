"""A window of time at resources of a site, and the order of what lies in it."""

from dataclasses import dataclass
from typing import NamedTuple


class PagePosition(NamedTuple):
    """A place in the order of entries: their instant or cell (Unix ms), and the name of one of them."""

    at: int
    name: str


class Cells(NamedTuple):
    """Cells of a resource that one booking has, or one hold: `minutes` is None on a grid of 0."""

    at: int
    resource: str
    minutes: int | None

    @property
    def position(self) -> PagePosition:
        return PagePosition(self.at, self.resource)


@dataclass(frozen=True)
class TimeRange:
    """From `start` up to `end` (Unix ms) at some resources of a site, or at all of them (None)."""

    site: str
    resources: tuple[str, ...] | None
    start: int
    end: int
