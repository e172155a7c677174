"""Claims lately found booked: a guess that spares a write which would be refused.

Only a guess: what is guessed booked is read behind the barrier, and refused only for what is found there.
Otherwise each of a storm of requests for a slot would cost MongoDB an insert that fails. One that meets a
booked claim after free ones leaves rolled-back keys there, which slow down what others do with those claims.
"""

from collections.abc import Iterable, Set

from shared.stores.mongo.bookings import InSite

MOST = 1000


class LatelyBooked:
    """Remembers so many claims."""

    def __init__(self) -> None:
        self._claims: dict[InSite, None] = {}

    def has_any(self, claims: Set[InSite]) -> bool:
        """Whether one of `claims` was found booked of late."""
        return not claims.isdisjoint(self._claims.keys())

    def note(self, asked: Iterable[InSite], booked: Set[InSite]) -> None:
        """Remember what was found of claims: those of `booked` are, and no others."""
        for claim in asked:
            self._claims.pop(claim, None)
            if claim in booked:
                self._claims[claim] = None
        while len(self._claims) > MOST:
            del self._claims[next(iter(self._claims))]
