"""Remove safeguards of the decisions on bookings: keys, final refusals and claims."""

from dataclasses import replace
from typing import Any

from booking_worker.bookings import book as decisions
from booking_worker.bookings import finality
from booking_worker.bookings.finality import KeyFinality, MoveFinality
from booking_worker.bookings.requests import BookOutcome, BookRequest, replay
from shared.contract.deadline import Deadline
from shared.domain.booked_service import BookedService
from shared.domain.booking import Booking
from shared.domain.grid import Grid, Place, SlotRange
from shared.stores.mongo.bookings import BookingStore, Found
from shared.stores.mongo.indexes import INDEXES
from shared.worker import attempts as worker_attempts


def no_key_lookup() -> None:
    """Refuse a booking without looking for an earlier booking with its key."""

    no_final_refusals()  # it looks for the key too
    find = BookingStore.find

    async def find_no_keys(*args: Any, **more: Any) -> Found:
        return await find(*args, **{**more, "keys": ()})

    BookingStore.find = find_no_keys  # type: ignore[method-assign]


def no_final_refusals() -> None:
    """Refuse without a tombstone or an epoch against late attempts."""

    async def believe(_self: Any, judged: dict[Any, Any], _deadline: Deadline) -> dict[Any, Any]:
        return judged

    KeyFinality.make_final = believe  # type: ignore[assignment,method-assign]
    MoveFinality.make_final = believe  # type: ignore[assignment,method-assign]


def erased_hash_counts() -> None:
    """Compare a request with the request hash of a booking that is erased."""

    def strict(request: BookRequest, own: Booking) -> BookOutcome:
        return replay(request, replace(own, request_hash=own.request_hash or "erased"))

    for module in (decisions, finality):
        vars(module)["replay"] = strict


def no_asked_at() -> None:
    """Use the time of receipt of an attempt as its `askedAt`."""
    vars(worker_attempts)["accept_asked_at"] = lambda _asked_at, received_at: received_at


def first_claim_only() -> None:
    """Separate bookings by their first claim alone, in the index and within a batch."""
    INDEXES["one_booking_per_claim"]["key"] = {"site": 1, "claims.0": 1}

    def split_by_first_claim(requests: Any) -> tuple[list[Any], list[Any]]:
        firsts = {(one.booking.site, one.booking.claims.keys[0]): one for one in reversed(requests)}
        rivals = [request for request in requests if request not in firsts.values()]
        return list(firsts.values()), rivals

    vars(decisions)["split_competitors"] = split_by_first_claim


def no_buffers() -> None:
    """Compute claims without the buffers of services."""
    slot_range = Grid.slot_range

    def without(grid: Grid, place: Place, service: BookedService | None = None) -> SlotRange:
        return replace(slot_range(grid, place), service=service)

    Grid.slot_range = without  # type: ignore[assignment,method-assign]
