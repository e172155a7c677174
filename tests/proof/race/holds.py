"""Check holds that race with bookings."""

from collections.abc import Callable, Iterator
from itertools import combinations

from tests.proof.race.clauses import HELD, Clause, Finding, SlotHistory, refused_with, wanted


def holds_are_honoured(history: SlotHistory) -> Iterator[Finding]:
    """A hold and another patient's booking are not both granted, even if they were in flight together."""
    for grant in history.grants:
        holder = grant.exchange.request.patient
        for booking in history.confirmed:
            patient = booking.request.patient
            rivals = booking.rivals(grant.exchange)
            if patient != holder and rivals and not grant.expired_by(booking.returned):
                text = f"{holder} was granted a hold, and {patient} a booking"
                yield history.find(Clause.HOLDS, text)


def one_hold_at_a_time(history: SlotHistory) -> Iterator[Finding]:
    """Two patients may hold a resource one after the other, never at the same time."""
    together = {
        grant.exchange.request.ordinal
        for first, second in combinations(history.grants, 2)
        if first.exchange.rivals(second.exchange)
        and not (first.expired_by(second.exchange.returned) or second.expired_by(first.exchange.returned))
        for grant in (first, second)
    }
    if together:
        yield history.find(Clause.HOLDS, f"{len(together)} holds granted at once, at most 1 may be")


def grants_what_was_asked(history: SlotHistory) -> Iterator[Finding]:
    """A granted hold has the requested site, resources, slot and token, and an expiry."""
    known = {id(grant.exchange) for grant in history.grants}
    for exchange in history.exchanges:
        if not exchange.granted:
            continue
        hold = (exchange.reply.body or {}).get("hold")
        expected = {
            **wanted(exchange),
            "token": exchange.request.body["holdToken"],
        }
        wrong = [
            field
            for field, value in expected.items()
            if not isinstance(hold, dict) or hold.get(field) != value
        ]
        wrong += ["expiresAt"] if id(exchange) not in known else []
        wrong += ["message"] if not exchange.reply.text.startswith("Slot held for ") else []
        if wrong:
            yield history.find(Clause.HOLDS, f"the hold granted is wrong in {', '.join(wrong)}")


def stranger_is_refused(history: SlotHistory) -> Iterator[Finding]:
    """A booking of a slot that another patient holds is refused as held."""
    for stranger in history.of("stranger"):
        held = [
            grant
            for grant in history.grants
            if grant.exchange.rivals(stranger) and not grant.expired_by(stranger.returned)
        ]
        if held and stranger.reply.answered and not refused_with(stranger, HELD):
            text = f"a stranger requested the held slot and got {stranger.reply}"
            yield history.find(Clause.HOLDS, text)


def holder_can_book(history: SlotHistory) -> Iterator[Finding]:
    """The holder's own booking is confirmed, unless the hold expired and a rival was faster."""
    for claim in history.of("claim"):
        if claim.reply.answered and not any(booking.rivals(claim) for booking in history.confirmed):
            yield history.find(Clause.HOLDS, f"the holder requested the booking and got {claim.reply}")


CHECKS: tuple[Callable[[SlotHistory], Iterator[Finding]], ...] = (
    holds_are_honoured,
    one_hold_at_a_time,
    grants_what_was_asked,
    stranger_is_refused,
    holder_can_book,
)
