"""The answers of a component are linearizable, and each refusal and each hold by itself is true."""

from collections.abc import Iterable, Iterator, Sequence
from math import inf

from tests.proof.checker.model import may_book, refused_as_booked, refused_as_held
from tests.proof.checker.search import linearizable
from tests.proof.checker.shrink import shrink
from tests.proof.checker.verdict import Rule, Violation, violation
from tests.proof.faults.history import Operation, Row


def judge_answers(operations: Sequence[Operation]) -> Iterator[Violation]:
    """Yield what is wrong with the answers of one component."""
    if linearizable(operations):
        return
    said = [each for each in operations if _is_read(each)]
    firm = [each for each in operations if not _is_read(each)]
    if not linearizable(firm):
        yield _unordered(firm)
        return
    true = []
    for each in said:
        if linearizable([*firm, each]):
            true.append(each)
        else:
            yield _untrue(each, firm)
    if not linearizable([*firm, *true]):
        yield _unordered([*firm, *true])


def _is_read(operation: Operation) -> bool:
    """Whether the answer depends only on other bookings, and so can be judged by itself."""
    held = operation.kind == "hold" and operation.ok
    return held or refused_as_booked(operation) or refused_as_held(operation)


def read_back(rows: Iterable[Row], operations: Sequence[Operation]) -> list[Operation]:
    """Return the rows as reads after all operations, so that stored bookings own their claims in the end.

    The time of these reads is not recorded, so they cannot show that a booking existed during a hold.
    """
    made = {each.appointment_id for each in operations if may_book(each)}
    known = [row for row in rows if row.id in made and (row.status == "booked" or row.history)]
    return [
        Operation(
            number=-number,
            client="read back",
            kind="history" if row.history else "get",
            via="http",
            site=row.site,
            resources=row.resources,
            slot=row.slot,
            patient=row.patient or "",
            key=None,
            token=None,
            invoked=inf,
            returned=inf,
            outcome="ok",
            status=200,
            appointment_id=row.id,
            minutes=row.minutes,
            service=row.service,
            told=row.state if row.history else None,
            changes=row.history or None,
        )
        for number, row in enumerate(known, start=1)
    ]


def _unordered(operations: Sequence[Operation]) -> Violation:
    text = "no order makes these answers true with at most one owner for each claim"
    return violation(Rule.LINEARIZABLE, text, *_bad_part(operations))


def _untrue(refusal: Operation, firm: Sequence[Operation]) -> Violation:
    if refusal.ok:
        text = "a hold was granted on a booked claim"
        return violation(Rule.HOLD, text, *_bad_part([*firm, refusal]))
    if refused_as_booked(refusal):
        why = "as already booked, but no other booking can have owned any of its claims"
    else:
        why = "as held, but at every moment one of its claims was booked"
    text = f"#{refusal.number} was refused {why}"
    return violation(Rule.TRUE_REFUSAL, text, *_bad_part([*firm, refusal]))


def _bad_part(operations: Sequence[Operation]) -> list[Operation]:
    """The smallest bad part, with the request that may have made each booking it reads."""
    part = shrink(operations, lambda fewer: not linearizable(fewer))
    booked = {each.appointment_id for each in part if each.kind == "book"}
    read = {each.appointment_id for each in part if each.kind != "book"} - booked
    requests: dict[str | None, Operation] = {}
    for each in sorted(operations, key=lambda each: each.invoked):
        if may_book(each) and each.appointment_id in read:
            requests.setdefault(each.appointment_id, each)
    return [*part, *requests.values()]
