"""The checker accepts valid histories with cancels and moves, and notices each mutation of one."""

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.callers import Kind
from tests.proof.checker import Rule, Verdict, check
from tests.proof.checker.builders import SITE, SLOT, asked, read, refused
from tests.proof.checker.simulation import LIFE, valid_history
from tests.proof.faults.history import History, Operation
from tests.proof.faults.places import BookingState
from tests.unit.mutations import MANY, RESOURCES, extended
from tests.unit.verdicts import broken_rules

LIVES = settings(MANY, max_examples=40)


@st.composite
def lives(draw: st.DrawFn) -> History:
    """Draw a valid history with cancels, moves, releases, histories and lists."""
    resources = draw(st.sampled_from([RESOURCES[:1], RESOURCES]))
    return valid_history(Random(draw(st.integers(0, 10**9))), draw(st.integers(1, 30)), resources, LIFE)


def one_of(history: History, kind: Kind) -> Operation:
    """Return the first operation of the kind that got a 2xx; discard a history without one."""
    found = [each for each in history.operations if each.kind == kind and each.ok]
    assume(found)
    return found[0]


def changed_row(recorded: History, id: str | None, **changes: Any) -> History:
    rows = tuple(replace(each, **changes) if each.id == id else each for each in recorded.rows)
    return replace(recorded, rows=rows)


@LIVES
@given(lives())
def test_history_of_a_correct_service_with_changes_is_accepted(history: History) -> None:
    """A correct service is accepted, however bookings are moved, cancelled, listed and read."""
    assert check(history) == Verdict(())


@LIVES
@given(lives())
def test_row_without_its_acknowledged_cancel_is_a_violation(history: History) -> None:
    """A row from before its acknowledged cancel is a violation."""
    cancel = one_of(history, "cancel")
    [row] = [each for each in history.rows if each.id == cancel.appointment_id]
    undone = row.history[:-1]
    before = changed_row(history, row.id, status="booked", history=undone, version=len(undone))
    assert broken_rules(before) & {Rule.LINEARIZABLE, Rule.HISTORY}


@LIVES
@given(lives())
def test_lost_history_entry_is_a_violation(history: History) -> None:
    """A row without the entry of a move that took effect is a violation."""
    moved = [each for each in history.rows if any(change.type == "moved" for change in each.history)]
    assume(moved)
    [entry, *_] = [change for change in moved[0].history if change.type == "moved"]
    rest = tuple(change for change in moved[0].history if change != entry)
    renumbered = tuple(replace(change, version=n) for n, change in enumerate(rest, start=1))
    lost = changed_row(history, moved[0].id, history=renumbered, version=len(renumbered))
    certain = any(each.ok and each.move_id == entry.move_id for each in history.operations)
    assume(certain or moved[0].history[-1] == entry)
    assert broken_rules(lost) & {Rule.LINEARIZABLE, Rule.HISTORY}


@LIVES
@given(lives())
def test_doubled_history_entry_is_a_violation(history: History) -> None:
    """A row with its last change twice is a violation."""
    assume(history.rows)
    row = history.rows[0]
    twice = (*row.history, replace(row.history[-1], version=row.version + 1))
    assert Rule.HISTORY in broken_rules(changed_row(history, row.id, history=twice, version=len(twice)))


@LIVES
@given(lives())
def test_booked_row_without_claims_is_a_violation(history: History) -> None:
    """A booked row has the claims of its place."""
    active = [each for each in history.rows if each.status == "booked"]
    assume(active)
    assert broken_rules(changed_row(history, active[0].id, stored=frozenset())) == {Rule.HISTORY}


@LIVES
@given(lives())
def test_second_booking_of_a_booked_place_is_a_violation(history: History) -> None:
    """A second booking of the place that a booking has at the end is a violation."""
    active = [each for each in history.rows if each.status == "booked"]
    assume(active)
    second = asked("book", "Eve", 20, 21, key="e", id="eve", resources=active[0].resources)
    rivals = extended(history, replace(second, slot=active[0].slot))
    assert Rule.LINEARIZABLE in broken_rules(rivals)


@LIVES
@given(lives())
def test_refusal_of_freed_resources_is_a_violation(history: History) -> None:
    """A request for resources that are free at the end is not refused."""
    taken = {claim for row in history.rows if row.status == "booked" for claim in row.claims}
    settled = replace(history, operations=tuple(each for each in history.operations if not each.unknown))
    free = [name for name in RESOURCES if (SITE, name, SLOT) not in taken]
    assume(free and check(settled).accepted)
    refusal = replace(refused("Eve", 20, 21), resources=tuple(free))
    assert Rule.TRUE_REFUSAL in broken_rules(extended(settled, refusal))


@LIVES
@given(lives(), st.sampled_from(["get", "history", "cancel", "move"]))
def test_404_for_a_stored_booking_is_a_violation(history: History, kind: Kind) -> None:
    """A read, history, cancel or move of an existing booking does not get a 404."""
    assume(history.rows)
    row = history.rows[0]
    assume(any(each.appointment_id == row.id and each.ok for each in history.operations))
    stale = asked(kind, "", 20, 21, id=row.id, outcome="refused", status=404, resources=row.resources)
    assert Rule.LINEARIZABLE in broken_rules(extended(history, stale))


@LIVES
@given(lives())
def test_read_of_an_earlier_place_is_a_violation(history: History) -> None:
    """A read after all moves shows the last place, and not the first."""
    answered = [each.told for each in history.operations if each.ok]
    moved = [each for each in history.rows if each.first != each.place and each.state in answered]
    assume(moved)
    stale = replace(read(moved[0].id, 20, 21), told=BookingState(moved[0].first, moved[0].status))
    assert Rule.LINEARIZABLE in broken_rules(extended(history, stale))
