"""The history of one slot is linearizable, and no `Slot already booked` was said of a free slot."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf

from tests.faults.checker.model import may_take_effect, refused_as_booked
from tests.faults.checker.search import linearizable
from tests.faults.checker.shortest import shortest_bad_part
from tests.faults.checker.verdict import Forgiven, Rule, Violation, violation
from tests.faults.history import Operation, Row

Forgivable = Callable[[Operation], bool]


def judge_slot(operations: Sequence[Operation], forgivable: Forgivable) -> Iterator[Violation | Forgiven]:
    """What is wrong with the answers of one slot."""
    if linearizable(operations):
        return
    firm = [each for each in operations if not refused_as_booked(each)]
    if not linearizable(firm):
        yield _unordered(firm)
        return
    true = []
    for refusal in filter(refused_as_booked, operations):
        if linearizable([*firm, refusal]):
            true.append(refusal)
        elif forgivable(refusal) and _may_be_stale(refusal, firm):
            yield Forgiven(refusal)
        else:
            yield _phantom(refusal, firm)
    if not linearizable([*firm, *true]):
        yield _unordered([*firm, *true])


def read_back(rows: Iterable[Row], operations: Sequence[Operation]) -> list[Operation]:
    """The rows as reads after everything else: whatever the lost answers were, these own their slots.

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
            resource=row.resource,
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


def _may_be_stale(refusal: Operation, firm: Iterable[Operation]) -> bool:
    """Stale data too has come from somewhere: from another's booking that was asked for before."""
    return any(
        may_take_effect(each)
        and each.invoked <= refusal.end
        and each.appointment_id != refusal.appointment_id
        for each in firm
    )


def _unordered(operations: Sequence[Operation]) -> Violation:
    text = "in no order are these answers true of a slot that is free or has one owner"
    return violation(Rule.LINEARIZABLE, text, *_bad_part(operations))


def _phantom(refusal: Operation, firm: Sequence[Operation]) -> Violation:
    text = f"#{refusal.number} was refused as already booked, but no other booking can have owned the slot"
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
