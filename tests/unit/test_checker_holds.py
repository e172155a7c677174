"""The judge of the fault runs knows when a hold was broken, and when nobody can say so."""

from dataclasses import replace

import pytest

from tests.proof.checker import Rule, Verdict, check
from tests.proof.checker.builders import asked, booked, held, lost, of, read, record, refused, row
from tests.proof.checker.model import HELD
from tests.proof.faults.history import Fault, History, Operation, Row, Via


def bookings(*patients: str) -> tuple[Row, ...]:
    return tuple(row(patient) for patient in patients)


def rules(*operations: Operation, of: str = "Bob") -> set[Rule]:
    return {each.rule for each in check(record(*operations, rows=bookings(of))).violations}


@pytest.mark.parametrize(
    ("invoked", "returned"), [(2, 3), (0.5, 3), (0, 0.7), (0.6, 0.9)], ids=["in", "into", "before", "along"]
)
def test_a_hold_and_a_strangers_booking_are_never_both_granted(invoked: float, returned: float) -> None:
    """A stranger's booking surely made before the hold's end breaks it, or should have prevented it."""
    assert rules(held("Ada", 0.5, 1, 10), booked("Bob", invoked, returned)) == {Rule.HOLD}


def test_a_broken_hold_is_shown_with_the_booking_that_broke_it() -> None:
    """The message shows the hold and the booking, and no more."""
    crowd = [lost(f"P{number}", 0) for number in range(20)]
    history = record(*crowd, held("Ada", 0, 1, 10), booked("Bob", 2, 3), rows=bookings("Bob"))
    [shown] = check(history).violations

    assert shown.text == "Ada was granted a hold, and Bob a booking"
    assert [each.kind for each in shown.operations] == ["hold", "book"]


def test_a_stranger_may_book_after_the_hold() -> None:
    """A booking that can have been made after the hold's end, give or take the clocks, breaks nothing."""
    assert rules(held("Ada", 0, 1, 10), booked("Bob", 2, 9.8)) == set()
    assert rules(held("Ada", 0, 1, 10), booked("Bob", 2, 9.7)) == {Rule.HOLD}
    assert rules(held("Ada", 0, 1, 10), booked("Bob", 10, 11)) == set()


def test_a_lost_booking_breaks_a_hold_only_if_it_was_seen() -> None:
    """A booking whose answer was lost may have been made after the hold; not if it was read before."""
    assert rules(held("Ada", 0, 1, 10), lost("Bob", 2)) == set()
    assert rules(held("Ada", 0, 1, 10), lost("Bob", 2), read("bob", 3, 4)) == {Rule.HOLD}


def test_a_retry_breaks_a_hold_only_if_it_made_the_booking() -> None:
    """A booking that was made before the hold prevents it, though its answer came only by a replay."""
    replay = booked("Bob", 2, 3, replayed=True)
    assert rules(lost("Bob", 0), held("Ada", 0.5, 1, 10), replay) == {Rule.HOLD}
    assert (
        rules(booked("Bob", 11, 12), held("Ada", 0.5, 1, 10), replace(replay, invoked=12, returned=13))
        == set()
    )


def test_the_holder_may_book() -> None:
    """A booking under the hold's name or with its token is the holder's own."""
    assert rules(held("Bob", 0, 1, 10), booked("Bob", 2, 3)) == set()
    assert rules(held("Ada", 0, 1, 10), replace(booked("Bob", 2, 3), token="token-Ada")) == set()
    assert rules(held("Ada", 0, 1, 10), replace(booked("Bob", 2, 3), token="token-Cyd")) == {Rule.HOLD}


def test_a_hold_without_a_token_is_its_patients() -> None:
    """A caller without a token cannot take the hold of another without a token."""
    anonymous = replace(held("Ada", 0, 1, 10), token=None)
    assert rules(anonymous, booked("Bob", 2, 3)) == {Rule.HOLD}
    assert rules(anonymous, replace(held("Cyd", 2, 3, 10), token=None), lost("Bob", 0)) == {Rule.HOLD}


@pytest.mark.parametrize("patient", ["Ada", "Bob"])
def test_a_booked_slot_is_not_held(patient: str) -> None:
    """No hold is granted on a slot that was booked before, not to the booking's own patient either."""
    assert rules(booked("Bob", 0, 1), held(patient, 2, 3, 10)) == {Rule.HOLD}


def test_holds_are_judged_by_what_they_share() -> None:
    """A hold binds whoever wants any of its resources, and nobody else."""
    hold = of("ab", held("Ada", 0, 1, 10))
    beside, across = of("c", booked("Bob", 2, 3)), of("bc", booked("Bob", 2, 3))
    assert check(record(hold, beside, rows=(row("Bob", ("c",)),))) == Verdict(())
    assert {each.rule for each in check(record(hold, across, rows=(row("Bob", ("b", "c")),))).violations} == {
        Rule.HOLD
    }


def test_holds_that_share_nothing_may_stand_together() -> None:
    """Two holds are granted at once where they share no resource, and never where they share one."""
    links = of("bc", lost("Bob", 0))  # connects the two, so that they are judged together
    ada, cyd = of("ab", held("Ada", 0, 1, 10)), of("cd", held("Cyd", 2, 3, 12))
    assert check(record(ada, cyd, links)) == Verdict(())
    assert {each.rule for each in check(record(ada, of("bd", cyd), links)).violations} == {Rule.HOLD}


def test_a_hold_of_something_else_is_no_reason_for_a_refusal() -> None:
    """`held` needs a hold that shares a resource with what was asked for."""
    links, bob = of("ab", lost("Dan", 0)), of("b", refused("Bob", 2, 3, HELD))
    assert check(record(of("ab", held("Ada", 0, 1, 10)), links, bob)) == Verdict(())
    assert {each.rule for each in check(record(of("a", held("Ada", 0, 1, 10)), links, bob)).violations} == {
        Rule.TRUE_REFUSAL
    }


def test_one_hold_at_a_time() -> None:
    """Two holds with different tokens are a violation while both are alive; an extension is none."""
    assert rules(held("Ada", 0, 1, 10), held("Cyd", 2, 3, 12), lost("Bob", 0)) == {Rule.HOLD}
    assert rules(held("Ada", 0, 1, 10), held("Ada", 2, 3, 12), lost("Bob", 0)) == set()
    assert rules(held("Ada", 0, 1, 10), held("Cyd", 9, 9.9, 20), lost("Bob", 0)) == set()


def refused_as_held(patient: str, invoked: float, returned: float) -> Operation:
    return refused(patient, invoked, returned, HELD)


def test_a_refusal_as_held_needs_anothers_hold() -> None:
    """`held` is true only where somebody else asked for a hold, and not long before."""
    bob, late = refused_as_held("Bob", 2, 3), refused_as_held("Bob", 50, 51)
    asked_too_late = held("Ada", 3.5, 4, 10)

    assert check(record(held("Ada", 0, 1, 10), bob)) == Verdict(())
    for holds in ([], [held("Bob", 0, 1, 10)], [asked_too_late]):
        assert {each.rule for each in check(record(*holds, bob)).violations} == {Rule.TRUE_REFUSAL}
    assert {each.rule for each in check(record(held("Ada", 0, 1, 5), late)).violations} == {Rule.TRUE_REFUSAL}


def test_a_hold_may_be_refused_by_another_token_of_the_same_patient() -> None:
    """Who asks for a second hold with another token meets the first; with the same token it is extended."""
    first = held("Ada", 0, 1, 10)
    again = replace(first, invoked=2, returned=3, outcome="refused", status=409, error=HELD, expires=None)

    assert check(record(first, replace(again, token="another"))) == Verdict(())
    assert {each.rule for each in check(record(first, again)).violations} == {Rule.TRUE_REFUSAL}


def test_a_hold_that_was_not_granted_may_stand_for_a_while() -> None:
    """One whose answer was lost may stand at any time; one that was refused is soon gone."""
    late = refused_as_held("Bob", 50, 51)
    ada = held("Ada", 0, 1, 10)
    nobody_knows = replace(ada, returned=None, outcome="unknown", expires=None)
    not_granted = replace(ada, outcome="not_executed", status=503, expires=None)

    assert check(record(nobody_knows, late)) == Verdict(())
    assert check(record(not_granted, refused_as_held("Bob", 6.9, 7))) == Verdict(())
    assert not check(record(not_granted, refused_as_held("Bob", 7.1, 7.2))).accepted
    assert not check(record(not_granted, late)).accepted


def test_redis_may_have_kept_a_hold_for_longer() -> None:
    """Where the clock of Redis jumped, or it was paused, a hold may stand past its end."""
    history = record(held("Ada", 0, 1, 5), refused_as_held("Bob", 50, 51))
    assert check(replace(history, faults=(Fault("redis_clock_jump", 3, 4),))) == Verdict(())


def broken() -> History:
    return record(held("Ada", 2, 3, 10), booked("Bob", 5, 6), rows=bookings("Bob"))


@pytest.mark.parametrize("kind", ["redis_kill", "redis_flush", "redis_pause", "redis_partition"])
def test_a_hold_is_void_once_redis_was_broken(kind: str) -> None:
    """From a fault of Redis on, a hold that was alive then binds nobody; one that ended before does."""
    for began, ended in ((4, 4.5), (2.5, 2.6), (0, 20), (5.5, None)):
        assert check(replace(broken(), faults=(Fault(kind, began, ended),))) == Verdict(())


def test_a_hold_placed_while_redis_was_broken_is_void() -> None:
    """Such a hold promises nothing, not even that the slot was free."""
    history = record(booked("Bob", 0, 1), held("Ada", 3, 4, 10), rows=bookings("Bob"))
    assert check(replace(history, faults=(Fault("redis_pause", 3.5, 5),))) == Verdict(())


@pytest.mark.parametrize(("began", "ended"), [(0, 0.5), (7, 8), (11, None)])
def test_a_fault_before_or_after_excuses_no_broken_hold(began: float, ended: float | None) -> None:
    """A fault of Redis that was over before the hold, or began after the booking, is no excuse."""
    assert not check(replace(broken(), faults=(Fault("redis_kill", began, ended),))).accepted


def test_a_booking_that_began_without_redis_may_end_after_it() -> None:
    """A booking whose worker could not reach Redis may be made under a hold that was placed after that."""
    history = record(held("Ada", 4, 5, 10), booked("Bob", 0, 6), rows=bookings("Bob"))
    assert check(replace(history, faults=(Fault("redis_partition", 1, 2),))) == Verdict(())


def test_an_earlier_attempt_excuses_no_later_one() -> None:
    """An attempt that met the fault is no excuse where a later one is known to have made the booking."""
    history = record(lost("Bob", 0), held("Ada", 4, 5, 10), booked("Bob", 6, 7), rows=bookings("Bob"))
    assert not check(replace(history, faults=(Fault("redis_partition", 1, 2),))).accepted


def test_which_faults_void_holds_is_the_callers_choice() -> None:
    """The kinds of faults that lose holds can be named."""
    history = replace(broken(), faults=(Fault("clock_jump", 4, 5),))

    assert not check(history).accepted
    assert check(history, redis_faults={"clock_jump"}).accepted


@pytest.mark.parametrize(
    ("via", "seconds", "expected"), [("http", 1.0, 1), ("http", 1.8, 0), ("nats", 1.8, 1)]
)
def test_a_release_of_nothing_may_be_the_repeat_of_a_lost_one(
    via: Via, seconds: float, expected: int
) -> None:
    """A gateway whose first attempt was lost takes "no such hold" for its work; nobody else may."""
    release = replace(asked("release", "Ada", 5, 5 + seconds, token="nobody's"), via=via, status=200)
    assert len(check(record(release)).violations) == expected
