"""The answers about connected claims are linearizable, and no refusal was said of what it was not true of."""

from collections.abc import Iterable, Iterator, Sequence
from math import inf

from tests.faults.checker.model import may_take_effect, refused_as_booked, refused_as_held
from tests.faults.checker.search import linearizable
from tests.faults.checker.shortest import shortest_bad_part
from tests.faults.checker.verdict import Rule, Violation, violation
from tests.faults.history import Operation, Row


def judge_answers(operations: Sequence[Operation]) -> Iterator[Violation]:
    """What is wrong with the answers of one component."""
    if linearizable(operations):
        return
    refusals = [each for each in operations if refused_as_booked(each) or refused_as_held(each)]
    firm = [each for each in operations if each not in refusals]
    if not linearizable(firm):
        yield _unordered(firm)
        return
    true = []
    for refusal in refusals:
        if linearizable([*firm, refusal]):
            true.append(refusal)
        else:
            yield _untrue(refusal, firm)
    if not linearizable([*firm, *true]):
        yield _unordered([*firm, *true])


def read_back(rows: Iterable[Row], operations: Sequence[Operation]) -> list[Operation]:
    """The rows as reads after everything else: whatever the lost answers were, these own their claims.

    When they were read is not recorded, so they are no witness of what was booked during a hold.
    """
    made = {each.appointment_id for each in operations if may_take_effect(each)}
    standing = [row for row in rows if row.status == "booked" and row.id in made]
    return [
        Operation(
            number=-number,
            client="read back",
            kind="get",
            via="http",
            site=row.site,
            resources=row.resources,
            slot=row.slot,
            patient=row.patient,
            key=None,
            token=None,
            invoked=inf,
            returned=inf,
            outcome="ok",
            status=200,
            appointment_id=row.id,
        )
        for number, row in enumerate(standing, start=1)
    ]


def _unordered(operations: Sequence[Operation]) -> Violation:
    text = "in no order are these answers true of claims that are free or have one owner"
    return violation(Rule.LINEARIZABLE, text, *_bad_part(operations))


def _untrue(refusal: Operation, firm: Sequence[Operation]) -> Violation:
    if refused_as_booked(refusal):
        why = "as already booked, but no other booking can have owned any of its claims"
    else:
        why = "as held, but at every moment one of its claims was booked"
    text = f"#{refusal.number} was refused {why}"
    return violation(Rule.TRUE_REFUSAL, text, *_bad_part([*firm, refusal]))


def _bad_part(operations: Sequence[Operation]) -> list[Operation]:
    """The shortest bad part; what was read comes with the request that it can have come from."""
    part = shortest_bad_part(operations, lambda fewer: not linearizable(fewer))
    booked = {each.appointment_id for each in part if each.kind == "book"}
    read = {each.appointment_id for each in part if each.kind == "get"} - booked
    requests: dict[str | None, Operation] = {}
    for each in sorted(operations, key=lambda each: each.invoked):
        if may_take_effect(each) and each.appointment_id in read:
            requests.setdefault(each.appointment_id, each)
    return [*part, *requests.values()]
