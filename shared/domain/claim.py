"""Claims: what a booking or a hold has of its site. Two exclude each other exactly when they share a claim.

A claim is one resource at one instant of the grid, written `<resource>/<Unix ms>`. MongoDB's unique index is
on it, and so are the keys of holds in Redis. Half an hour of a doctor and a room, on a grid of 15 minutes, is
four claims.
"""

from dataclasses import dataclass
from functools import cached_property

from shared.contract.errors import InvalidRequest
from shared.contract.instants import unix_milliseconds
from shared.domain.grid import Place, Span

MOST_CLAIMS = 600


@dataclass(frozen=True)
class Claims:
    """All that is claimed together, or not at all. `keys` are the claims, by resource and time."""

    site: str
    keys: tuple[str, ...]

    @classmethod
    def of(cls, place: Place, span: Span) -> "Claims":
        """What there is to claim at a place that covers `span`.

        Raises:
            InvalidRequest: more than `MOST_CLAIMS`.
        """
        if len(place.resources) * len(span.instants) > MOST_CLAIMS:
            raise InvalidRequest(
                f"durationMinutes times resources must not be more than {MOST_CLAIMS} steps of the grid"
            )
        moments = [unix_milliseconds(instant) for instant in span.instants]
        return cls(place.site, tuple(f"{name}/{ms}" for name in place.resources for ms in moments))

    @cached_property  # a batch looks at it several times
    def in_site(self) -> frozenset[tuple[str, str]]:
        """The (site, claim) pairs, which tell claims of several sites apart."""
        return frozenset((self.site, key) for key in self.keys)
