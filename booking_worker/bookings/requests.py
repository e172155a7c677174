"""Commands to book, and what becomes of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

from shared.contract.deadline import Deadline
from shared.contract.errors import AppointmentCancelled, KeyReused, Refused
from shared.domain.booking import Booking
from shared.domain.claim import Claims
from shared.stores.mongo.bookings import InSite
from shared.stores.redis.intents import BookingIntent


@dataclass(frozen=True, eq=False)
class Request:
    """A command to book.

    `is_first_attempt`: no earlier attempt with its key can have booked, or may yet. `asked_at` (Unix ms) is
    when its caller asked.
    """

    claims: Claims
    idempotency_key: str | None
    make_booking: Callable[[], Booking]
    is_first_attempt: bool
    intent: BookingIntent
    deadline: Deadline
    asked_at: int

    @cached_property
    def booking(self) -> Booking:
        """The booking that it would make: in a storm on a slot, most requests are refused without one."""
        return self.make_booking()

    @property
    def weight(self) -> int:
        return len(self.claims.keys)

    @property
    def key(self) -> InSite:
        """Its idempotency key in its site; without one, what is nobody's key."""
        return self.claims.site, self.idempotency_key or ""


@dataclass(frozen=True)
class Booked:
    """A booking that stands; `replayed` if an earlier command with the same key made it."""

    booking: Booking
    replayed: bool = False


Outcome = Booked | Refused


def replay(request: Request, own: Booking) -> Outcome:
    """The answer to a request whose key a booking has already: as that stands now."""
    if own.request_hash != request.booking.request_hash:
        return KeyReused()
    if own.status == "cancelled":
        return AppointmentCancelled(appointment=own.to_appointment())
    return Booked(own, replayed=True)


class Claiming(Protocol):
    """What wants claims, all of them or none."""

    @property
    def claims(self) -> Claims: ...


ClaimingT = TypeVar("ClaimingT", bound=Claiming)


def first_of_each_claim(wanting: Sequence[ClaimingT]) -> tuple[list[ClaimingT], list[ClaimingT]]:
    """Those that come first to all of their claims, and the others: of rivals one write can succeed."""
    taken: set[InSite] = set()
    firsts: list[ClaimingT] = []
    rivals: list[ClaimingT] = []
    for each in wanting:
        claims = each.claims.in_site
        (firsts if taken.isdisjoint(claims) else rivals).append(each)
        taken |= claims
    return firsts, rivals
