"""One key of a site, one booking: a retry hears of the same booking, another request is turned away."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import product

from tests.faults.checker.model import may_book, refused_as_booked, refused_as_held
from tests.faults.checker.verdict import Rule, Violation, violation
from tests.faults.history import Operation


def judge_keys(operations: Sequence[Operation]) -> Iterator[Violation]:
    groups: dict[tuple[str, str], list[Operation]] = defaultdict(list)
    for each in operations:
        if each.kind == "book" and each.key is not None:
            groups[each.site, each.key].append(each)
    for group in groups.values():
        confirmed = [each for each in group if each.ok]
        yield from _different_answers(confirmed)
        yield from _refusals(confirmed[:1], group)
        yield from _unfounded(group)
        yield from _replays_of_nothing(group)


def _different_answers(confirmed: Sequence[Operation]) -> Iterator[Violation]:
    for other in confirmed[1:]:
        first = confirmed[0]
        if not _same_request(first, other):
            text = f"the key {first.key} was confirmed for two different requests"
        elif first.appointment_id != other.appointment_id:
            text = f"the key {first.key} was answered with two different bookings"
        else:
            continue
        yield violation(Rule.ONE_KEY, text, first, other)


def _refusals(confirmed: Sequence[Operation], group: Sequence[Operation]) -> Iterator[Violation]:
    """After a 201 a retry is not refused, and another request hears 422."""
    for first, later in product(confirmed, group):
        if not later.refused or later.invoked <= first.end:
            continue
        if _same_request(first, later):
            if not (refused_as_booked(later) or refused_as_held(later)):  # judged with their claims
                yield violation(
                    Rule.ONE_KEY, f"a retry of the confirmed key {first.key} was refused", first, later
                )
        elif later.status != 422:
            text = f"the confirmed key {first.key} was sent with another request, which hears only 422"
            yield violation(Rule.ONE_KEY, text, first, later)


def _unfounded(group: Sequence[Operation]) -> Iterator[Violation]:
    """422 says that another request with the key has been carried out."""
    for refusal in (each for each in group if each.refused and each.status == 422):
        others = (each for each in group if may_book(each) and not _same_request(each, refusal))
        if not any(each.invoked <= refusal.end for each in others):
            text = f"the key {refusal.key} was refused as used for another request, but there was none"
            yield violation(Rule.ONE_KEY, text, refusal)


def _replays_of_nothing(group: Sequence[Operation]) -> Iterator[Violation]:
    """A replay is of an earlier request with the key; over HTTP that may be the gateway's own attempt."""
    for replay in (each for each in group if each.ok and each.replayed and each.via == "nats"):
        others = (each for each in group if each is not replay and may_book(each))
        if not any(each.invoked <= replay.end for each in others):
            text = f"the key {replay.key} was answered with a replay, but nobody had sent it before"
            yield violation(Rule.ONE_KEY, text, replay)


def _same_request(one: Operation, other: Operation) -> bool:
    return (one.place, one.patient) == (other.place, other.patient)
