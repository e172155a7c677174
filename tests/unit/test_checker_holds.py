"""The checker knows when a hold was broken, and when that cannot be known."""

from dataclasses import replace

import pytest

from tests.proof.checker import Rule, Verdict, check
from tests.proof.checker.builders import asked, booked, held, lost, of, read, record, refused, row
from tests.proof.checker.model import HELD
from tests.proof.faults.history import Fault, History, Operation, Row, Via
from tests.unit.verdicts import broken_rules


def bookings(*patients: str) -> tuple[Row, ...]:
    return tuple(row(patient) for patient in patients)


def rules(*operations: Operation, of: str = "Bob") -> set[Rule]:
    return broken_rules(record(*operations, rows=bookings(of)))


@pytest.mark.parametrize(
    ("invoked", "returned"),
    [(2, 3), (0.5, 3), (0, 0.7), (0.6, 0.9)],
    ids=["after the grant", "across the grant", "before the grant", "while the hold is in flight"],
)
def test_hold_and_strangers_booking_are_never_both_granted(invoked: float, returned: float) -> None:
    """A stranger's booking that was surely made before the hold's expiry is a violation."""
    assert rules(held("Ada", 0.5, 1, 10), booked("Bob", invoked, returned)) == {Rule.HOLD}


def test_broken_hold_is_shown_with_the_booking_that_broke_it() -> None:
    """The message shows only the hold and the booking."""
    crowd = [lost(f"P{number}", 0) for number in range(20)]
    history = record(*crowd, held("Ada", 0, 1, 10), booked("Bob", 2, 3), rows=bookings("Bob"))
    [shown] = check(history).violations

    assert shown.text == "Ada was granted a hold, and Bob a booking"
    assert [each.kind for each in shown.operations] == ["hold", "book"]


def test_stranger_may_book_after_the_hold() -> None:
    """A booking that may have been made after the hold's expiry, within clock differences, is accepted."""
    assert rules(held("Ada", 0, 1, 10), booked("Bob", 2, 9.8)) == set()
    assert rules(held("Ada", 0, 1, 10), booked("Bob", 2, 9.7)) == {Rule.HOLD}
    assert rules(held("Ada", 0, 1, 10), booked("Bob", 10, 11)) == set()


def test_lost_booking_breaks_a_hold_only_if_it_was_read() -> None:
    """A lost booking may have been made after the hold, unless a read found it before."""
    assert rules(held("Ada", 0, 1, 10), lost("Bob", 2)) == set()
    assert rules(held("Ada", 0, 1, 10), lost("Bob", 2), read("bob", 3, 4)) == {Rule.HOLD}


def test_replay_breaks_a_hold_only_if_the_booking_was_made_before_its_expiry() -> None:
    """A booking made before the hold should have prevented it, even if only a replay confirmed it."""
    replay = booked("Bob", 2, 3, replayed=True)
    assert rules(lost("Bob", 0), held("Ada", 0.5, 1, 10), replay) == {Rule.HOLD}
    assert (
        rules(booked("Bob", 11, 12), held("Ada", 0.5, 1, 10), replace(replay, invoked=12, returned=13))
        == set()
    )


def test_holder_may_book() -> None:
    """A booking under the hold's name or with its token is the holder's."""
    assert rules(held("Bob", 0, 1, 10), booked("Bob", 2, 3)) == set()
    assert rules(held("Ada", 0, 1, 10), replace(booked("Bob", 2, 3), token="token-Ada")) == set()
    assert rules(held("Ada", 0, 1, 10), replace(booked("Bob", 2, 3), token="token-Cyd")) == {Rule.HOLD}


def test_hold_without_a_token_belongs_to_its_patient() -> None:
    """A caller without a token cannot take another patient's hold without a token."""
    anonymous = replace(held("Ada", 0, 1, 10), token=None)
    assert rules(anonymous, booked("Bob", 2, 3)) == {Rule.HOLD}
    assert rules(anonymous, replace(held("Cyd", 2, 3, 10), token=None), lost("Bob", 0)) == {Rule.HOLD}


@pytest.mark.parametrize("patient", ["Ada", "Bob"])
def test_hold_of_a_booked_slot_is_a_violation(patient: str) -> None:
    """No hold is granted on a booked slot, not even to the booking's patient."""
    assert rules(booked("Bob", 0, 1), held(patient, 2, 3, 10)) == {Rule.HOLD}


def test_hold_blocks_only_bookings_that_share_a_resource() -> None:
    """A hold blocks bookings of any of its resources, and no other booking."""
    hold = of("ab", held("Ada", 0, 1, 10))
    beside, across = of("c", booked("Bob", 2, 3)), of("bc", booked("Bob", 2, 3))
    assert check(record(hold, beside, rows=(row("Bob", ("c",)),))) == Verdict(())
    assert {each.rule for each in check(record(hold, across, rows=(row("Bob", ("b", "c")),))).violations} == {
        Rule.HOLD
    }


def test_two_holds_conflict_only_on_a_shared_resource() -> None:
    """Two holds are granted at once if and only if they share no resource."""
    links = of("bc", lost("Bob", 0))  # connects the two holds, so that the checker judges them together
    ada, cyd = of("ab", held("Ada", 0, 1, 10)), of("cd", held("Cyd", 2, 3, 12))
    assert check(record(ada, cyd, links)) == Verdict(())
    assert {each.rule for each in check(record(ada, of("bd", cyd), links)).violations} == {Rule.HOLD}


def test_held_refusal_needs_a_hold_of_a_shared_resource() -> None:
    """`held` is untrue if no hold shares a resource with the request."""
    links, bob = of("ab", lost("Dan", 0)), of("b", refused("Bob", 2, 3, HELD))
    assert check(record(of("ab", held("Ada", 0, 1, 10)), links, bob)) == Verdict(())
    assert {each.rule for each in check(record(of("a", held("Ada", 0, 1, 10)), links, bob)).violations} == {
        Rule.TRUE_REFUSAL
    }


def test_two_holds_at_once_are_a_violation() -> None:
    """Two holds with different tokens are a violation before their expiry; an extension is not."""
    assert rules(held("Ada", 0, 1, 10), held("Cyd", 2, 3, 12), lost("Bob", 0)) == {Rule.HOLD}
    assert rules(held("Ada", 0, 1, 10), held("Ada", 2, 3, 12), lost("Bob", 0)) == set()
    assert rules(held("Ada", 0, 1, 10), held("Cyd", 9, 9.9, 20), lost("Bob", 0)) == set()


def refused_as_held(patient: str, invoked: float, returned: float) -> Operation:
    return refused(patient, invoked, returned, HELD)


def test_held_refusal_needs_another_patients_hold() -> None:
    """`held` is true only if another patient asked for a hold, and not long before."""
    bob, late = refused_as_held("Bob", 2, 3), refused_as_held("Bob", 50, 51)
    asked_too_late = held("Ada", 3.5, 4, 10)

    assert check(record(held("Ada", 0, 1, 10), bob)) == Verdict(())
    for holds in ([], [held("Bob", 0, 1, 10)], [asked_too_late]):
        assert {each.rule for each in check(record(*holds, bob)).violations} == {Rule.TRUE_REFUSAL}
    assert {each.rule for each in check(record(held("Ada", 0, 1, 5), late)).violations} == {Rule.TRUE_REFUSAL}


def test_second_hold_of_a_patient_with_another_token_may_be_refused() -> None:
    """A second hold with another token is refused; with the same token it is an extension."""
    first = held("Ada", 0, 1, 10)
    second = replace(first, invoked=2, returned=3, outcome="refused", status=409, error=HELD, expires=None)

    assert check(record(first, replace(second, token="another"))) == Verdict(())
    assert {each.rule for each in check(record(first, second)).violations} == {Rule.TRUE_REFUSAL}


def test_hold_that_was_not_granted_may_block_for_a_while() -> None:
    """A hold with a lost answer may exist at any time; a refused one soon disappears."""
    late = refused_as_held("Bob", 50, 51)
    ada = held("Ada", 0, 1, 10)
    lost_hold = replace(ada, returned=None, outcome="unknown", expires=None)
    not_executed = replace(ada, outcome="not_executed", status=503, expires=None)

    assert check(record(lost_hold, late)) == Verdict(())
    assert check(record(not_executed, refused_as_held("Bob", 6.9, 7))) == Verdict(())
    assert not check(record(not_executed, refused_as_held("Bob", 7.1, 7.2))).accepted
    assert not check(record(not_executed, late)).accepted


def test_redis_fault_may_prolong_a_hold() -> None:
    """If the clock of Redis jumped, or Redis was paused, a hold may block after its expiry."""
    history = record(held("Ada", 0, 1, 5), refused_as_held("Bob", 50, 51))
    assert check(replace(history, faults=(Fault("redis_clock_jump", 3, 4),))) == Verdict(())


def broken() -> History:
    return record(held("Ada", 2, 3, 10), booked("Bob", 5, 6), rows=bookings("Bob"))


@pytest.mark.parametrize("kind", ["redis_kill", "redis_flush", "redis_pause", "redis_partition"])
def test_redis_fault_voids_the_holds_that_it_met(kind: str) -> None:
    """A fault of Redis voids the holds that existed during it, and no hold that expired before."""
    for began, ended in ((4, 4.5), (2.5, 2.6), (0, 20), (5.5, None)):
        assert check(replace(broken(), faults=(Fault(kind, began, ended),))) == Verdict(())


def test_hold_placed_during_a_redis_fault_is_void() -> None:
    """Such a hold promises nothing, not even that the slot was free."""
    history = record(booked("Bob", 0, 1), held("Ada", 3, 4, 10), rows=bookings("Bob"))
    assert check(replace(history, faults=(Fault("redis_pause", 3.5, 5),))) == Verdict(())


@pytest.mark.parametrize(("began", "ended"), [(0, 0.5), (7, 8), (11, None)])
def test_redis_fault_at_another_time_excuses_no_broken_hold(began: float, ended: float | None) -> None:
    """A fault that ended before the hold, or began after the booking, is no excuse."""
    assert not check(replace(broken(), faults=(Fault("redis_kill", began, ended),))).accepted


def test_booking_that_began_without_redis_may_break_a_later_hold() -> None:
    """A booking whose worker could not reach Redis may be made under a hold placed later."""
    history = record(held("Ada", 4, 5, 10), booked("Bob", 0, 6), rows=bookings("Bob"))
    assert check(replace(history, faults=(Fault("redis_partition", 1, 2),))) == Verdict(())


def test_earlier_attempt_without_redis_excuses_no_later_attempt() -> None:
    """An attempt that met the fault is no excuse if a later attempt made the booking."""
    history = record(lost("Bob", 0), held("Ada", 4, 5, 10), booked("Bob", 6, 7), rows=bookings("Bob"))
    assert not check(replace(history, faults=(Fault("redis_partition", 1, 2),))).accepted


def test_caller_chooses_the_faults_that_void_holds() -> None:
    """The argument `redis_faults` names the kinds of faults that lose holds."""
    history = replace(broken(), faults=(Fault("clock_jump", 4, 5),))

    assert not check(history).accepted
    assert check(history, redis_faults={"clock_jump"}).accepted


@pytest.mark.parametrize(
    ("via", "seconds", "expected"), [("http", 1.0, 1), ("http", 1.8, 0), ("nats", 1.8, 1)]
)
def test_gateway_may_answer_200_to_a_release_without_a_hold(via: Via, seconds: float, expected: int) -> None:
    """A gateway whose first attempt was lost takes "no such hold" as done; no other caller may."""
    release = replace(asked("release", "Ada", 5, 5 + seconds, token="nobody's"), via=via, status=200)
    assert len(check(record(release)).violations) == expected
