"""The checker accepts valid histories of bookings, and notices each mutation of one."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.callers import Kind
from tests.proof.checker import Rule, Verdict, Violation, check
from tests.proof.checker.builders import asked, booked, held, read, record, refused
from tests.proof.checker.model import BOOKED, HELD
from tests.proof.checker.simulation import valid_history
from tests.proof.faults.history import History, Operation
from tests.unit.mutations import MANY, RESOURCES, extended


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Draw a valid history of one resource, or of three of which patients want some."""
    resources = draw(st.sampled_from([RESOURCES[:1], RESOURCES]))
    return valid_history(Random(draw(st.integers(0, 10**9))), draw(st.integers(1, 25)), resources)


def confirmed(history: History) -> Operation:
    """Return the first confirmed booking; discard a history without one."""
    answers = [each for each in history.operations if each.kind == "book" and each.ok]
    assume(answers)
    return min(answers, key=lambda each: each.end)


def mutated(history: History, old: Operation, new: Operation) -> History:
    return replace(history, operations=tuple(new if each is old else each for each in history.operations))


def wanting_more(operation: Operation, winner: Operation) -> Operation:
    """Return the operation with the winner's last resource and one that no other operation names."""
    return replace(operation, resources=(winner.resources[-1], "z"))


def shown(history: History, rule: Rule) -> Violation:
    """Return the violation of the rule, and check that it shows one to three operations."""
    found = [violation for violation in check(history).violations if violation.rule is rule]
    assert found
    assert all(1 <= len(violation.operations) <= 3 for violation in found)
    assert all(f"#{each.number} " in str(found[0]) for each in found[0].operations)
    return found[0]


@MANY
@given(histories())
def test_history_of_a_correct_service_is_accepted(history: History) -> None:
    """A correct service is accepted, however requests overlap, are retried and lose their answers."""
    assert check(history) == Verdict(())


@MANY
@given(histories())
def test_second_201_is_a_violation(history: History) -> None:
    """A 201 to a loser makes two owners, and is shown with the winner or with a read of it."""
    confirmed(history)
    losers = [each for each in history.operations if each.kind == "book" and each.error == BOOKED]
    assume(losers)
    second = replace(losers[0], outcome="ok", status=201, error=None, appointment_id="second")
    violation = shown(mutated(history, losers[0], second), Rule.LINEARIZABLE)

    assert second in violation.operations


@MANY
@given(histories())
def test_confirmed_booking_without_a_row_is_a_violation(history: History) -> None:
    """A confirmed booking that is not among the rows is shown with its 201."""
    winner = confirmed(history)
    lost = tuple(row for row in history.rows if row.id != winner.appointment_id)
    violation = shown(replace(history, rows=lost), Rule.DURABLE)

    assert [each.appointment_id for each in violation.operations] == [winner.appointment_id]


@MANY
@given(histories())
def test_refusal_before_any_request_is_a_violation(history: History) -> None:
    """A refusal before the first request is shown alone or with a later request."""
    phantom = replace(refused("Eve", -2, -1), resources=RESOURCES)
    violation = shown(extended(history, phantom), Rule.TRUE_REFUSAL)

    assert "Eve" in [each.patient for each in violation.operations]


@MANY
@given(histories())
def test_404_after_201_is_a_violation(history: History) -> None:
    """A 404 after the 201 is shown with an answer that contradicts it."""
    winner = confirmed(history)
    stale = read(str(winner.appointment_id), 20, 21, found=False)
    violation = shown(extended(history, stale), Rule.LINEARIZABLE)

    assert 404 in [each.status for each in violation.operations]


@MANY
@given(histories())
def test_replay_with_another_id_is_a_violation(history: History) -> None:
    """A replay with another id is shown with the first answer."""
    winner = confirmed(history)
    replay = replace(winner, invoked=20, returned=21, replayed=True, appointment_id="other")
    violation = shown(extended(history, replay), Rule.ONE_KEY)

    assert {each.appointment_id for each in violation.operations} == {winner.appointment_id, "other"}


@MANY
@given(histories())
def test_strangers_hold_before_a_booking_is_a_violation(history: History) -> None:
    """A stranger's hold that was granted just before a confirmed booking is shown with it."""
    winner = confirmed(history)
    hold = wanting_more(held("Eve", winner.end - 0.01, winner.end - 0.005, winner.end + 60), winner)
    violation = shown(extended(history, hold), Rule.HOLD)

    assert "hold" in [each.kind for each in violation.operations]


@MANY
@given(histories())
def test_second_winner_of_one_claim_is_a_violation(history: History) -> None:
    """A second booking that shares one resource is shown with the winner or with a read of it."""
    winner = confirmed(history)
    second = wanting_more(booked("Eve", winner.invoked, winner.end), winner)
    violation = shown(extended(history, second), Rule.LINEARIZABLE)

    assert "Eve" in [each.patient for each in violation.operations]


@MANY
@given(histories())
def test_refusal_without_an_owner_of_its_resources_is_a_violation(history: History) -> None:
    """The refusal of a booking of free resources is shown alone."""
    elsewhere = replace(refused("Eve", 2, 9), resources=("y", "z"))
    violation = shown(extended(history, elsewhere), Rule.TRUE_REFUSAL)

    assert [each.patient for each in violation.operations] == ["Eve"]


@MANY
@given(histories(), st.sampled_from(["book", "hold"]))
def test_held_refusal_after_a_booking_is_a_violation(history: History, kind: Kind) -> None:
    """A `held` after a booking is shown with an answer that proves the booking; a hold is no excuse."""
    winner = confirmed(history)
    asking = asked(kind, "Eve", 20, 21, key="e", token="e", outcome="refused", error=HELD)
    excuse = wanting_more(held("Zoe", 19, 19.5, 99), winner)
    refusal = wanting_more(asking, winner)
    violation = shown(extended(history, replace(excuse, outcome="unknown"), refusal), Rule.TRUE_REFUSAL)

    assert "Eve" in [each.patient for each in violation.operations]


@MANY
@given(histories())
def test_row_without_a_confirmed_resource_is_a_violation(history: History) -> None:
    """A row without one of the confirmed resources is shown with its 201."""
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
def test_booking_before_request_or_after_deadline_is_a_violation(history: History, created: float) -> None:
    """A row from before the first request or after every deadline is shown with its request."""
    winner = confirmed(history)
    rows = tuple(
        replace(row, created=created) if row.id == winner.appointment_id else row for row in history.rows
    )
    violation = shown(replace(history, rows=rows), Rule.IN_TIME)

    assert [each.key for each in violation.operations] == [winner.key]


@pytest.mark.parametrize("status", [409, 400])
def test_stored_booking_that_was_refused_is_a_violation(status: int) -> None:
    """A row whose only request was refused is shown with the refusal."""
    history = valid_history(Random(7), 12)
    own = history.rows[0]
    assert own.patient
    refusal = asked("book", own.patient, 0, 20, key=own.key, outcome="refused", status=status, error="No")
    alone = replace(record(refusal, booked("Zoe", 0, 1)), rows=history.rows)

    assert own.patient in [each.patient for each in shown(alone, Rule.KNOWN_OUTCOME).operations]
