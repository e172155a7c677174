"""What a patient claims of a slot in Redis, and what is found there."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from shared.contract.commands import SlotRequest
from shared.contract.instants import unix_milliseconds
from shared.domain.grid import Span


class HoldState(IntEnum):
    """What a booking finds on its slot; the numbers are those of `enter.lua`."""

    FREE = 0
    MINE = 1
    OTHERS = 2


@dataclass(frozen=True)
class HoldClaim:
    """A patient's claim to some instants of a resource: by `token`, or by the digest of the name."""

    resource: str
    instants: tuple[datetime, ...]
    token: str
    digest: str

    @classmethod
    def of(cls, request: SlotRequest, span: Span) -> "HoldClaim":
        digest = hashlib.sha256(request.patientName.encode()).hexdigest()
        return cls(request.resource, span.occupies, request.holdToken or "", digest)

    @property
    def keys(self) -> list[str]:
        """The keys of the scripts: a hold key an instant, then an intents key an instant."""
        return [
            f"{kind}:{{{self.resource}}}:{unix_milliseconds(instant)}"
            for kind in ("hold", "intents")
            for instant in self.instants
        ]

    @property
    def slots(self) -> list[tuple[str, datetime]]:
        """The (resource, instant) pairs that are claimed."""
        return [(self.resource, instant) for instant in self.instants]


@dataclass(frozen=True)
class BookingIntent:
    """A booking that wants to pass the holds on its slot; `id` is the booking's."""

    claim: HoldClaim
    id: str


@dataclass(frozen=True)
class PlacedHold:
    """A hold that was set, or extended.

    It expires at `expires_at`, in so many `milliseconds`. Each instant is held `since` so many (Unix ms). The
    bookings with the ids `under_way` may still take the slot.
    """

    expires_at: datetime
    milliseconds: int
    since: list[int]
    under_way: list[str]
