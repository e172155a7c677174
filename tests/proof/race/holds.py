"""What must be true of holds that race with bookings."""

from collections.abc import Callable, Iterator
from itertools import combinations

from tests.proof.race.clauses import HELD, Clause, Finding, SlotHistory, refused_with, wanted


def holds_are_honoured(history: SlotHistory) -> Iterator[Finding]:
    """Of one patient's hold and another's booking, only one is granted, were they under way together too."""
    for grant in history.grants:
        for booking in history.confirmed:
            stranger = booking.ask.patient != grant.operation.ask.patient
            rivals = booking.rivals(grant.operation)
            if stranger and rivals and not grant.expired_by(booking.returned):
                text = (
                    f"{grant.operation.ask.patient} was granted a hold, and {booking.ask.patient} a booking"
                )
                yield history.find(Clause.HOLDS, text)


def one_hold_at_a_time(history: SlotHistory) -> Iterator[Finding]:
    """Two patients may hold a resource one after the other, never together."""
    together = {
        grant.operation.ask.ordinal
        for first, second in combinations(history.grants, 2)
        if first.operation.rivals(second.operation)
        and not (first.expired_by(second.operation.returned) or second.expired_by(first.operation.returned))
        for grant in (first, second)
    }
    if together:
        yield history.find(Clause.HOLDS, f"{len(together)} holds granted at once, at most 1 may be")


def grants_what_was_asked(history: SlotHistory) -> Iterator[Finding]:
    known = {id(grant.operation) for grant in history.grants}
    for operation in history.operations:
        if not operation.granted:
            continue
        hold = (operation.answer.body or {}).get("hold")
        expected = {
            **wanted(operation),
            "token": operation.ask.body["holdToken"],
        }
        wrong = [
            field
            for field, value in expected.items()
            if not isinstance(hold, dict) or hold.get(field) != value
        ]
        wrong += ["expiresAt"] if id(operation) not in known else []
        wrong += ["message"] if not operation.answer.text.startswith("Slot held for ") else []
        if wrong:
            yield history.find(Clause.HOLDS, f"the hold granted is wrong in {', '.join(wrong)}")


def stranger_is_refused(history: SlotHistory) -> Iterator[Finding]:
    """Whoever asks for what is held, and not by himself, hears so."""
    for stranger in history.of("stranger"):
        held = [
            grant
            for grant in history.grants
            if grant.operation.rivals(stranger) and not grant.expired_by(stranger.returned)
        ]
        if held and stranger.answer.answered and not refused_with(stranger, HELD):
            text = f"a stranger asked for the held slot and heard {stranger.answer}"
            yield history.find(Clause.HOLDS, text)


def holder_can_book(history: SlotHistory) -> Iterator[Finding]:
    """The holder's own booking is confirmed, unless the hold expired and another was faster."""
    for claim in history.of("claim"):
        if claim.answer.answered and not any(booking.rivals(claim) for booking in history.confirmed):
            yield history.find(Clause.HOLDS, f"the holder asked to book and heard {claim.answer}")


RULES: tuple[Callable[[SlotHistory], Iterator[Finding]], ...] = (
    holds_are_honoured,
    one_hold_at_a_time,
    grants_what_was_asked,
    stranger_is_refused,
    holder_can_book,
)
