"""What a patient claims of a slot in Redis, and what is found there."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from shared.commands import SlotRequest
from shared.grid import Span
from shared.instants import unix_milliseconds


class HoldState(IntEnum):
    """What a booking finds on its slot; the numbers are those of `enter.lua`."""

    FREE = 0
    MINE = 1
    OTHERS = 2


@dataclass(frozen=True)
class HoldClaim:
    """A patient's claim to a slot: by `token`, or by the digest of the name.

    `keys` are those of the scripts: a hold key an instant, then an intents key an instant.
    """

    keys: tuple[str, ...]
    token: str
    digest: str

    @classmethod
    def of(cls, request: SlotRequest, span: Span) -> "HoldClaim":
        keys = (
            f"{kind}:{{{request.resource}}}:{unix_milliseconds(instant)}"
            for kind in ("hold", "intents")
            for instant in span.occupies
        )
        digest = hashlib.sha256(request.patientName.encode()).hexdigest()
        return cls(tuple(keys), request.holdToken or "", digest)


@dataclass(frozen=True)
class Passage:
    """A booking that wants to pass the holds on its slot; `id` is the booking's."""

    claim: HoldClaim
    id: str


@dataclass(frozen=True)
class PlacedHold:
    """A hold that was set: when it expires, in how many `milliseconds`, whether it was there before, and
    the ids of the bookings that were under way, which may still take the slot."""

    placement: str
    expires_at: datetime
    milliseconds: int
    extended: bool
    under_way: list[str]
