"""A cache of claims that were recently found booked, which saves inserts that would fail.

The cache is a hint. The worker reads a cached claim behind the read barrier, and refuses a request only if
the claim is booked there. Without the cache, every request of a rush for one slot would cost MongoDB a
failing insert. If such an insert has free claims before the booked one, MongoDB rolls back their index keys,
and that slows down other writes of these claims.
"""

from collections.abc import Iterable, Set

from shared.stores.mongo.bookings import InSite

MOST = 1000


class LatelyBooked:
    """The last `MOST` claims that were found booked."""

    def __init__(self) -> None:
        self._claims: dict[InSite, None] = {}

    def has_any(self, claims: Set[InSite]) -> bool:
        """Return whether one of `claims` was recently found booked."""
        return not claims.isdisjoint(self._claims.keys())

    def note(self, read: Iterable[InSite], booked: Set[InSite]) -> None:
        """Record a read: of the claims in `read`, exactly those in `booked` are booked."""
        for claim in read:
            self._claims.pop(claim, None)
            if claim in booked:
                self._claims[claim] = None
        while len(self._claims) > MOST:
            del self._claims[next(iter(self._claims))]
