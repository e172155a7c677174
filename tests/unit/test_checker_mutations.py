"""The checker accepts what a service that keeps its promises answers, and notices each promise broken."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.faults.checker import Rule, Verdict, Violation, check
from tests.faults.checker.model import BOOKED, HELD
from tests.faults.checker.simulation import valid_history
from tests.faults.checker.stories import asked, booked, held, read, refused, story
from tests.faults.history import History, Kind, Operation

MANY = settings(max_examples=100, deadline=None, derandomize=True)


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
    return replace(story(*history.operations, *more), rows=history.rows)


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
    violation = shown(replace(history, rows=()), Rule.DURABLE)

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
        replace(row, resources=row.resources[1:]) if row.id == winner.appointment_id else row
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
    alone = replace(story(told, booked("Zoe", 0, 1)), rows=history.rows)

    assert own.patient in [each.patient for each in shown(alone, Rule.KNOWN_OUTCOME).operations]
