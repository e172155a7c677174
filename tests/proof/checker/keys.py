"""One key of a site, one booking: a retry gets the same booking, and a different request gets 422.

The same holds for the move ids of a booking, each of which belongs to one move.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import product

from tests.proof.checker.model import (
    may_book,
    may_take_effect,
    refused_as_booked,
    refused_as_cancelled,
    refused_as_held,
)
from tests.proof.checker.verdict import Rule, Violation, violation
from tests.proof.faults.history import Operation

_CONFLICTS = (refused_as_booked, refused_as_held, refused_as_cancelled)
"""Other rules judge these, with the claims and the booking's changes."""


def judge_keys(operations: Sequence[Operation]) -> Iterator[Violation]:
    groups: dict[tuple[str, str], list[Operation]] = defaultdict(list)
    for each in operations:
        if each.kind == "book" and each.key is not None:
            groups[each.site, each.key].append(each)
    for group in groups.values():
        confirmed = [each for each in group if each.ok or refused_as_cancelled(each)]
        yield from _different_answers(confirmed)
        yield from _refusals(confirmed[:1], group)
        yield from _unfounded(group)
        yield from _replays_of_nothing(group)
    moves: dict[tuple[str | None, str], list[Operation]] = defaultdict(list)
    for each in operations:
        if each.kind == "move" and each.move_id is not None:
            moves[each.appointment_id, each.move_id].append(each)
    for group in moves.values():
        done = [each for each in group if each.ok]
        yield from _different_answers(done)
        yield from _refusals(done[:1], group)
        yield from _unfounded(group)


def _different_answers(confirmed: Sequence[Operation]) -> Iterator[Violation]:
    for other in confirmed[1:]:
        first = confirmed[0]
        if not _same_request(first, other) and not _is_nameless(other):
            text = f"the key {_key(first)} was confirmed for two different requests"
        elif first.appointment_id != other.appointment_id:
            text = f"the key {_key(first)} was answered with two different bookings"
        else:
            continue
        yield violation(Rule.ONE_KEY, text, first, other)


def _refusals(confirmed: Sequence[Operation], group: Sequence[Operation]) -> Iterator[Violation]:
    """After a 201, a retry is not refused, and a different request gets 422."""
    for first, later in product(confirmed, group):
        if not later.refused or later.invoked <= first.end:
            continue
        if _same_request(first, later):
            if not any(is_judged_elsewhere(later) for is_judged_elsewhere in _CONFLICTS):
                text = f"a retry of the confirmed key {_key(first)} was refused"
                yield violation(Rule.ONE_KEY, text, first, later)
        elif later.status != 422 and not _is_nameless(later):
            text = f"the confirmed key {_key(first)} was sent with another request, whose answer must be 422"
            yield violation(Rule.ONE_KEY, text, first, later)


def _unfounded(group: Sequence[Operation]) -> Iterator[Violation]:
    """A 422 requires that a different request with the key may have taken effect."""
    for refusal in (each for each in group if each.refused and each.status == 422):
        others = (each for each in group if may_take_effect(each) and not _same_request(each, refusal))
        if not any(each.invoked <= refusal.end for each in others):
            text = (
                f"the key {_key(refusal)} was refused as used for another request, but no such request exists"
            )
            yield violation(Rule.ONE_KEY, text, refusal)


def _replays_of_nothing(group: Sequence[Operation]) -> Iterator[Violation]:
    """A replay requires an earlier request with the key; over HTTP, the gateway's own attempt may be it."""
    replays = (each for each in group if (each.ok and each.replayed) or refused_as_cancelled(each))
    for replay in (each for each in replays if each.via == "nats"):
        others = (each for each in group if each is not replay and may_book(each))
        if not any(each.invoked <= replay.end for each in others):
            text = f"the key {replay.key} was answered with a replay, but no caller had sent it before"
            yield violation(Rule.ONE_KEY, text, replay)


def _same_request(one: Operation, other: Operation) -> bool:
    return (one.place, one.patient) == (other.place, other.patient)


def _is_nameless(answer: Operation) -> bool:
    """Whether the answer shows an erased booking, which is the answer to every request with its key."""
    return answer.told is not None and not answer.told.named


def _key(operation: Operation) -> str | None:
    return operation.move_id if operation.kind == "move" else operation.key
