"""Requests to book, their outcomes, and the split of a batch into requests that do not compete."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

from shared.contract.deadline import Deadline
from shared.contract.errors import (
    AppointmentCancelled,
    InvalidRequest,
    KeyReused,
    Refused,
    SlotNotOffered,
)
from shared.domain.booking import Booking
from shared.domain.claim import Claims
from shared.stores.mongo.bookings import InSite
from shared.stores.redis.intents import BookingIntent


@dataclass(frozen=True, eq=False)
class BookRequest:
    """A command to book, validated and laid on the grid.

    `is_first_attempt`: no earlier attempt with this idempotency key exists, so none can book later.
    `asked_at`: when the caller asked (Unix ms). `request_hash`: computes the digest of the command.
    `not_offered`: the refusal of an enforced schedule, which counts unless the patient holds all claims
    already. `invalid`: why the service cannot be booked, which counts unless an earlier attempt has booked
    it. Such a request has no claims.
    """

    claims: Claims
    idempotency_key: str | None
    make_booking: Callable[[], Booking]
    is_first_attempt: bool
    intent: BookingIntent
    deadline: Deadline
    asked_at: int
    request_hash: Callable[[], str]
    not_offered: SlotNotOffered | None = None
    invalid: InvalidRequest | None = None

    @cached_property
    def booking(self) -> Booking:
        """The booking to insert, made on first use: most requests for a contested slot never need it."""
        return self.make_booking()

    @property
    def weight(self) -> int:
        return len(self.claims.keys) or 1

    @property
    def key(self) -> InSite:
        """The site and the idempotency key. An absent key is the empty string, which no row has."""
        return self.claims.site, self.idempotency_key or ""


@dataclass(frozen=True)
class Booked:
    """A stored booking; `replayed` if an earlier command with the same key made it."""

    booking: Booking
    replayed: bool = False


BookOutcome = Booked | Refused


def replay(request: BookRequest, own: Booking) -> BookOutcome:
    """Answer a request whose idempotency key belongs to the booking `own`, by its current state.

    An erased booking has no hash to compare: every request with its key is taken for its retry.
    """
    if own.request_hash not in (None, request.request_hash()):
        return KeyReused()
    if own.status == "cancelled":
        return AppointmentCancelled(appointment=own.to_appointment())
    return Booked(own, replayed=True)


class Claiming(Protocol):
    """A request that takes all of its claims or none."""

    @property
    def claims(self) -> Claims: ...


ClaimingT = TypeVar("ClaimingT", bound=Claiming)


def split_competitors(requests: Sequence[ClaimingT]) -> tuple[list[ClaimingT], list[ClaimingT]]:
    """Split into requests without an earlier competitor in this batch, and the rest.

    Two requests compete if they share a claim. Of competitors at most one write can succeed, so the caller
    writes the first list only.
    """
    claimed: set[InSite] = set()
    firsts: list[ClaimingT] = []
    competitors: list[ClaimingT] = []
    for request in requests:
        claims = request.claims.in_site
        (firsts if claimed.isdisjoint(claims) else competitors).append(request)
        claimed |= claims
    return firsts, competitors
