"""A history contains each change once and in order, and its last entry agrees with the booking."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from tests.proof.checker.state import booking_state, is_active
from tests.proof.checker.verdict import Rule, Violation, violation, where
from tests.proof.faults.history import Operation, Row
from tests.proof.faults.places import Change


def judge_histories(operations: Sequence[Operation], rows: Sequence[Row]) -> Iterator[Violation]:
    """Judge the form of histories in answers and in rows; the search judges whether they are true."""
    for each in operations:
        if each.kind == "history" and each.ok and each.changes is not None:
            for wrong in _wrong(each.changes):
                yield violation(Rule.HISTORY, f"the history of {each.appointment_id} {wrong}", each)
    for row in rows:
        for wrong in (*(_wrong(row.history) if row.history else ()), *_disagreements(row)):
            changing = [each for each in operations if each.appointment_id == row.id and each.kind != "get"]
            text = f"the history of {row.id}, as it is stored, {wrong}"
            yield Violation(Rule.HISTORY, where(row), row.slot, text, tuple(changing))


def _wrong(changes: Sequence[Change]) -> Iterator[str]:
    if [each.version for each in changes] != [*range(1, len(changes) + 1)]:
        yield f"has the versions {[each.version for each in changes]}"
    types = [each.type for each in changes]
    if types.count("booked") != 1 or types[0] != "booked":
        yield "does not begin with the one booking"
    if "cancelled" in types and {*types[types.index("cancelled") + 1 :]} - {"erased"}:
        yield "goes on after it was cancelled"
    if types.count("erased") > 1:
        yield "is erased twice"
    ids = [each.move_id for each in changes if each.move_id]
    if len(ids) != len(set(ids)):
        yield "contains one move twice"
    if any(after.type == "moved" and after.place == before.place for before, after in pairwise(changes)):
        yield "contains a move to the same place"


def _disagreements(row: Row) -> Iterator[str]:
    """Yield where the row differs from its last history entry, or its claims from its place."""
    changes = row.history
    if changes and row.version != len(changes):
        yield f"has {len(changes)} changes, but the version is {row.version}"
    if changes and booking_state(changes) != row.state:
        yield "does not end at the booking's place and status"
    if changes and is_active(changes) and row.stored is not None and row.stored != row.claims:
        yield "is of a booking whose claims differ from its slot and resources"
