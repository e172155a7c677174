"""Infer the bookings that certainly existed, and their possible makers: these may have broken a hold."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.proof.checker.model import may_take_effect
from tests.proof.faults.history import Operation
from tests.proof.faults.places import Claim


@dataclass(frozen=True)
class InferredBooking:
    """A booking that was certainly made, between `earliest` and the answer of `witness`."""

    attempts: tuple[Operation, ...]
    claims: frozenset[Claim]
    earliest: float
    witness: Operation
    freeing: tuple[Operation, ...] = ()
    """Operations that may have ended it: cancels, and other moves."""

    @property
    def latest(self) -> float:
        return self.witness.end

    def may_pass(self, hold: Operation) -> bool:
        """Whether any attempt of the booking is the holder's own."""
        return any(is_own(hold, each) for each in self.attempts)

    def may_be_over(self, hold: Operation) -> bool:
        """Whether the booking may have been made and ended before the hold was granted."""
        return self.earliest <= hold.end and any(each.invoked <= hold.end for each in self.freeing)


def infer_bookings(operations: Iterable[Operation]) -> Iterator[InferredBooking]:
    about: dict[str, list[Operation]] = defaultdict(list)
    for each in operations:
        if each.appointment_id is not None:
            about[each.appointment_id].append(each)
    for own in about.values():
        changes = [each for each in own if may_take_effect(each)]
        books = [each for each in changes if each.kind == "book"]
        witnesses = [
            each for each in own if each.ok and each.kind in ("book", "get", "history", "cancel", "move")
        ]
        if books and witnesses:
            yield _infer(books, min(witnesses, key=lambda each: each.end), changes)
        for move in (each for each in changes if each.kind == "move" and each.ok and each.told):
            there = [each for each in changes if _may_lead_to(each, move)]
            yield _infer(there, move, changes)


def _infer(
    attempts: Sequence[Operation], witness: Operation, changes: Sequence[Operation]
) -> InferredBooking:
    made_it = [each for each in attempts if each.ok and not each.replayed] or attempts
    if witness.kind == "move" and witness.told:
        claims, made_it = witness.told.place.claims, attempts
    else:
        claims = frozenset[Claim]().union(*(each.claims for each in made_it))
    freeing = tuple(each for each in changes if each.kind not in ("book", "amend") and each not in attempts)
    return InferredBooking(tuple(attempts), claims, min(each.invoked for each in made_it), witness, freeing)


def _may_lead_to(change: Operation, move: Operation) -> bool:
    """Whether this change may have moved the booking to the place in the move's answer."""
    place = move.told.place if move.told else move.place
    return change.kind not in ("cancel", "amend") and place.moved(change.place) == place


def is_own(hold: Operation, asked: Operation) -> bool:
    """Whether the hold does not block this request: by its token, or for a booking by the patient's name."""
    same_token = hold.token is not None and hold.token == asked.token
    return same_token or (asked.kind in ("book", "move") and hold.patient == asked.patient)
