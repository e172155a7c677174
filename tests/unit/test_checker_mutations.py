"""The checker accepts what a service that keeps its promises answers, and notices each promise broken."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.callers import Kind
from tests.proof.checker import Rule, Verdict, Violation, check
from tests.proof.checker.builders import SITE, SLOT, asked, booked, held, read, record, refused
from tests.proof.checker.model import BOOKED, HELD
from tests.proof.checker.simulation import LIFE, valid_history
from tests.proof.faults.history import History, Operation
from tests.proof.faults.places import BookingState

MANY = settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much]
)
LIVES = settings(MANY, max_examples=40)

RESOURCES = ("a", "b", "c")


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Of one resource, or of several that patients want some of."""
    resources = draw(st.sampled_from([RESOURCES[:1], RESOURCES]))
    return valid_history(Random(draw(st.integers(0, 10**9))), draw(st.integers(1, 25)), resources)


def confirmed(history: History) -> Operation:
    """The booking that was confirmed, and first so; without one there is nothing to break."""
    answers = [each for each in history.operations if each.kind == "book" and each.ok]
    assume(answers)
    return min(answers, key=lambda each: each.end)


def mutated(history: History, old: Operation, new: Operation) -> History:
    return replace(history, operations=tuple(new if each is old else each for each in history.operations))


def extended(history: History, *more: Operation) -> History:
    return replace(record(*history.operations, *more), rows=history.rows)


def wanting_more(operation: Operation, winner: Operation) -> Operation:
    """The operation with the last of what the winner has, and with something that nobody else wants."""
    return replace(operation, resources=(winner.resources[-1], "z"))


def shown(history: History, rule: Rule) -> Violation:
    """The violation of the rule, with a bad part that a reader can take in."""
    found = [violation for violation in check(history).violations if violation.rule is rule]
    assert found
    assert all(1 <= len(violation.operations) <= 3 for violation in found)
    assert all(f"#{each.number} " in str(found[0]) for each in found[0].operations)
    return found[0]


@MANY
@given(histories())
def test_what_an_atomic_service_answers_is_accepted(history: History) -> None:
    """However requests overlap, are repeated and lose their answers, a correct service is never accused."""
    assert check(history) == Verdict(())


@MANY
@given(histories())
def test_a_double_acknowledgement_is_noticed(history: History) -> None:
    """A loser told 201 makes two owners, and is shown with the winner or with a reader of it."""
    confirmed(history)
    losers = [each for each in history.operations if each.kind == "book" and each.error == BOOKED]
    assume(losers)
    second = replace(losers[0], outcome="ok", status=201, error=None, appointment_id="second")
    violation = shown(mutated(history, losers[0], second), Rule.LINEARIZABLE)

    assert second in violation.operations


@MANY
@given(histories())
def test_a_lost_acknowledgement_is_noticed(history: History) -> None:
    """A confirmed booking that is not among the rows is shown with its 201."""
    winner = confirmed(history)
    lost = tuple(row for row in history.rows if row.id != winner.appointment_id)
    violation = shown(replace(history, rows=lost), Rule.DURABLE)

    assert [each.appointment_id for each in violation.operations] == [winner.appointment_id]


@MANY
@given(histories())
def test_a_phantom_refusal_is_noticed(history: History) -> None:
    """A refusal that came before anybody had asked is shown, alone or with one that asked later."""
    phantom = replace(refused("Eve", -2, -1), resources=RESOURCES)
    violation = shown(extended(history, phantom), Rule.TRUE_REFUSAL)

    assert "Eve" in [each.patient for each in violation.operations]


@MANY
@given(histories())
def test_a_stale_read_is_noticed(history: History) -> None:
    """A 404 after the 201 is shown with an answer that says otherwise."""
    winner = confirmed(history)
    stale = read(str(winner.appointment_id), 20, 21, found=False)
    violation = shown(extended(history, stale), Rule.LINEARIZABLE)

    assert 404 in [each.status for each in violation.operations]


@MANY
@given(histories())
def test_a_changed_id_of_a_replay_is_noticed(history: History) -> None:
    """A replay that answers with another id is shown with the first answer."""
    winner = confirmed(history)
    replay = replace(winner, invoked=20, returned=21, replayed=True, appointment_id="other")
    violation = shown(extended(history, replay), Rule.ONE_KEY)

    assert {each.appointment_id for each in violation.operations} == {winner.appointment_id, "other"}


@MANY
@given(histories())
def test_a_broken_hold_is_noticed(history: History) -> None:
    """A hold granted to a stranger just before a booking is confirmed is shown with the booking."""
    winner = confirmed(history)
    hold = wanting_more(held("Eve", winner.end - 0.01, winner.end - 0.005, winner.end + 60), winner)
    violation = shown(extended(history, hold), Rule.HOLD)

    assert "hold" in [each.kind for each in violation.operations]


@MANY
@given(histories())
def test_a_second_winner_of_one_claim_is_noticed(history: History) -> None:
    """Another booking with only one resource in common is shown with the winner or a reader of it."""
    winner = confirmed(history)
    second = wanting_more(booked("Eve", winner.invoked, winner.end), winner)
    violation = shown(extended(history, second), Rule.LINEARIZABLE)

    assert "Eve" in [each.patient for each in violation.operations]


@MANY
@given(histories())
def test_a_refusal_of_what_nobody_has_is_noticed(history: History) -> None:
    """Whoever wants nothing that a booking has hears that it is booked: that refusal alone is shown."""
    elsewhere = replace(refused("Eve", 2, 9), resources=("y", "z"))
    violation = shown(extended(history, elsewhere), Rule.TRUE_REFUSAL)

    assert [each.patient for each in violation.operations] == ["Eve"]


@MANY
@given(histories(), st.sampled_from(["book", "hold"]))
def test_held_after_booked_is_noticed(history: History, kind: Kind) -> None:
    """`held` of what was booked before is shown with an answer that says so; a hold is no excuse."""
    winner = confirmed(history)
    asking = asked(kind, "Eve", 20, 21, key="e", token="e", outcome="refused", error=HELD)
    excuse = wanting_more(held("Zoe", 19, 19.5, 99), winner)
    told = wanting_more(asking, winner)
    violation = shown(extended(history, replace(excuse, outcome="unknown"), told), Rule.TRUE_REFUSAL)

    assert "Eve" in [each.patient for each in violation.operations]


@MANY
@given(histories())
def test_a_booking_of_half_its_claims_is_noticed(history: History) -> None:
    """A row without one of the resources that were confirmed is shown with its 201."""
    winner = confirmed(history)
    assume(len(winner.resources) > 1)
    rows = tuple(
        replace(row, resources=row.resources[1:], history=()) if row.id == winner.appointment_id else row
        for row in history.rows
    )
    violation = shown(replace(history, rows=rows), Rule.DURABLE)

    assert [each.appointment_id for each in violation.operations] == [winner.appointment_id]


@MANY
@given(histories(), st.sampled_from([-1, 20]))
def test_a_booking_out_of_time_is_noticed(history: History, created: float) -> None:
    """A row made before anybody had asked, or after every deadline, is shown with the request for it."""
    winner = confirmed(history)
    rows = tuple(
        replace(row, created=created) if row.id == winner.appointment_id else row for row in history.rows
    )
    violation = shown(replace(history, rows=rows), Rule.IN_TIME)

    assert [each.key for each in violation.operations] == [winner.key]


@pytest.mark.parametrize("status", [409, 400])
def test_a_refused_booking_that_is_stored_is_noticed(status: int) -> None:
    """A row of a booking that its only caller was refused is shown with the refusal."""
    history = valid_history(Random(7), 12)
    own = history.rows[0]
    told = asked("book", own.patient, 0, 20, key=own.key, outcome="refused", status=status, error="No")
    alone = replace(record(told, booked("Zoe", 0, 1)), rows=history.rows)

    assert own.patient in [each.patient for each in shown(alone, Rule.KNOWN_OUTCOME).operations]


@st.composite
def lives(draw: st.DrawFn) -> History:
    """With cancels, moves, releases, histories and lists."""
    resources = draw(st.sampled_from([RESOURCES[:1], RESOURCES]))
    return valid_history(Random(draw(st.integers(0, 10**9))), draw(st.integers(1, 30)), resources, LIFE)


def one_of(history: History, kind: Kind) -> Operation:
    """The first that was answered with 2xx; without one there is nothing to break."""
    found = [each for each in history.operations if each.kind == kind and each.ok]
    assume(found)
    return found[0]


def changed_row(recorded: History, id: str | None, **changes: Any) -> History:
    rows = tuple(replace(each, **changes) if each.id == id else each for each in recorded.rows)
    return replace(recorded, rows=rows)


def broken(history: History) -> set[Rule]:
    return {violation.rule for violation in check(history).violations}


@LIVES
@given(lives())
def test_a_correct_service_may_cancel_and_move(history: History) -> None:
    """However bookings are moved, cancelled, listed and read, a correct service is never accused."""
    assert check(history) == Verdict(())


@LIVES
@given(lives())
def test_a_cancel_that_frees_nothing_is_noticed(history: History) -> None:
    """A row that is as it was before its cancel was acknowledged is noticed."""
    cancel = one_of(history, "cancel")
    [row] = [each for each in history.rows if each.id == cancel.appointment_id]
    undone = row.history[:-1]
    before = changed_row(history, row.id, status="booked", history=undone, version=len(undone))
    assert broken(before) & {Rule.LINEARIZABLE, Rule.HISTORY}


@LIVES
@given(lives())
def test_an_entry_that_is_lost_is_noticed(history: History) -> None:
    """A row without the entry of a move that was carried out is noticed."""
    moved = [each for each in history.rows if any(change.type == "moved" for change in each.history)]
    assume(moved)
    [entry, *_] = [change for change in moved[0].history if change.type == "moved"]
    rest = tuple(change for change in moved[0].history if change != entry)
    again = tuple(replace(change, version=n) for n, change in enumerate(rest, start=1))
    lost = changed_row(history, moved[0].id, history=again, version=len(again))
    certain = any(each.ok and each.move_id == entry.move_id for each in history.operations)
    assume(certain or moved[0].history[-1] == entry)
    assert broken(lost) & {Rule.LINEARIZABLE, Rule.HISTORY}


@LIVES
@given(lives())
def test_an_entry_that_is_doubled_is_noticed(history: History) -> None:
    """A row whose last change was written twice is noticed."""
    assume(history.rows)
    row = history.rows[0]
    twice = (*row.history, replace(row.history[-1], version=row.version + 1))
    assert Rule.HISTORY in broken(changed_row(history, row.id, history=twice, version=len(twice)))


@LIVES
@given(lives())
def test_claims_that_disagree_with_the_place_are_noticed(history: History) -> None:
    """A booked row that claims nothing is noticed."""
    active = [each for each in history.rows if each.status == "booked"]
    assume(active)
    assert broken(changed_row(history, active[0].id, stored=frozenset())) == {Rule.HISTORY}


@LIVES
@given(lives())
def test_a_booking_in_two_places_is_noticed(history: History) -> None:
    """Whoever books what a booking still has after its move, or had not left before, is noticed."""
    active = [each for each in history.rows if each.status == "booked"]
    assume(active)
    second = asked("book", "Eve", 20, 21, key="e", id="eve", resources=active[0].resources)
    rivals = extended(history, replace(second, slot=active[0].slot))
    assert Rule.LINEARIZABLE in broken(rivals)


@LIVES
@given(lives())
def test_a_refusal_of_what_was_freed_is_noticed(history: History) -> None:
    """Who asks in the end for what nobody has any more is not refused."""
    taken = {claim for row in history.rows if row.status == "booked" for claim in row.claims}
    settled = replace(history, operations=tuple(each for each in history.operations if not each.unknown))
    free = [name for name in RESOURCES if (SITE, name, SLOT) not in taken]
    assume(free and check(settled).accepted)
    told = replace(refused("Eve", 20, 21), resources=tuple(free))
    assert Rule.TRUE_REFUSAL in broken(extended(settled, told))


@LIVES
@given(lives(), st.sampled_from(["get", "history", "cancel", "move"]))
def test_an_answer_of_long_ago_is_noticed(history: History, kind: Kind) -> None:
    """A 404 for what was booked is noticed, whatever was asked of it."""
    assume(history.rows)
    row = history.rows[0]
    assume(any(each.appointment_id == row.id and each.ok for each in history.operations))
    stale = asked(kind, "", 20, 21, id=row.id, outcome="refused", status=404, resources=row.resources)
    assert Rule.LINEARIZABLE in broken(extended(history, stale))


@LIVES
@given(lives())
def test_a_stale_place_is_noticed(history: History) -> None:
    """A read in the end that tells where the booking lay before is noticed."""
    told_last = [each.told for each in history.operations if each.ok]
    moved = [each for each in history.rows if each.first != each.place and each.state in told_last]
    assume(moved)
    told = BookingState(moved[0].first, moved[0].status)
    stale = replace(read(moved[0].id, 20, 21), told=told)
    assert Rule.LINEARIZABLE in broken(extended(history, stale))
