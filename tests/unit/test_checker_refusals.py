"""The checker decides which refusals are true, and shows the proof of an untrue one."""

from dataclasses import replace

import pytest

from tests.proof.checker import Rule, check
from tests.proof.checker.builders import (
    asked,
    booked,
    held,
    lost,
    not_granted,
    of,
    read,
    record,
    refused,
    row,
)
from tests.proof.checker.model import BOOKED, HELD
from tests.proof.faults.history import Fault, History
from tests.unit.verdicts import broken_rules


def untrue_refusal() -> History:
    """Return Bob's confirmed booking after Ada's lost one, and Cyd's refusal before Bob's request."""
    return record(lost("Ada", 0), refused("Cyd", 2, 3), booked("Bob", 4, 5), rows=(row("Bob"),))


def test_refusal_of_a_free_slot_is_a_violation() -> None:
    """`Slot already booked` without a possible owner is untrue for a booking and for a hold."""
    [shown] = check(untrue_refusal()).violations
    assert shown.rule is Rule.TRUE_REFUSAL
    assert [each.patient for each in shown.operations] == ["Cyd", "Bob"]

    hold = asked("hold", "Cyd", 0, 1, outcome="refused", error=BOOKED)
    assert broken_rules(record(hold, booked("Ada", 2, 3), rows=(row("Ada"),))) == {Rule.TRUE_REFUSAL}
    assert broken_rules(record(hold, booked("Ada", 1, 3), rows=(row("Ada"),))) == set()


def test_untrue_refusal_is_shown_with_the_shortest_proof() -> None:
    """Of two proofs the checker shows the shorter; a read comes with the request that made its booking."""
    shorter = (refused("Cyd", 1, 2), lost("Dan", 3), read("dan", 4, 5))
    longer = (lost("Ada", 0), lost("Bob", 0), read("ada", 6, 7, found=False), read("bob", 6, 7, found=False))
    [shown] = check(record(*longer, *shorter, rows=(row("Dan"),))).violations
    assert [(each.kind, each.outcome) for each in shown.operations] == [
        ("book", "refused"),
        ("book", "unknown"),
        ("get", "ok"),
    ]

    [shown] = check(
        record(lost("Eve", 0), lost("Dan", 3), refused("Cyd", 1, 2), rows=(row("Dan"),))
    ).violations
    assert [each.client for each in shown.operations] == ["caller", "caller", "read back"]


def test_held_refusal_without_a_hold_is_a_violation() -> None:
    """`held` without a requested hold is untrue, because bookings do not block each other."""
    assert broken_rules(record(refused("Cyd", 0, 1, HELD), held("Bob", 2, 3, 9))) == {Rule.TRUE_REFUSAL}
    assert broken_rules(record(refused("Cyd", 0, 2, HELD), held("Bob", 1, 3, 9))) == set()


def test_new_primary_excuses_no_violation() -> None:
    """Refusals are read behind the read barrier, so a new primary excuses no untrue refusal."""
    twins = record(booked("Ada", 0, 1), booked("Bob", 0, 1), rows=(row("Ada"), row("Bob")))
    for history in (untrue_refusal(), twins, record(booked("Ada", 0, 1))):
        assert not check(replace(history, faults=(Fault("mongo_isolate_primary", 0, None),))).accepted


@pytest.mark.parametrize("sooner", ["b", "ab"])
def test_refusal_is_true_if_any_lost_booking_explains_it(sooner: str) -> None:
    """A refusal is true if a lost booking explains it without a claim that another booking got later."""
    later = "ab" if sooner == "b" else "b"
    history = record(
        of(sooner, lost("Ada", 0)),
        of(later, lost("Bob", 1)),
        of("b", refused("Cyd", 2, 3)),
        of("a", booked("Eve", 4, 5)),
        rows=(row("Eve", ("a",)),),
    )
    assert broken_rules(history) == set()


def test_refusals_that_contradict_each_other_are_a_violation() -> None:
    """`booked` and a later `held` contradict each other, though each alone may be true."""
    lost_one, hold = lost("Ada", 0), not_granted(held("Eve", 0, 0.2, 0.3))
    bob, cyd = refused("Bob", 1, 2), refused("Cyd", 3, 4, HELD)
    assert broken_rules(record(lost_one, hold, bob)) == broken_rules(record(lost_one, hold, cyd)) == set()
    assert broken_rules(record(lost_one, hold, bob, cyd)) == {Rule.LINEARIZABLE}


def test_held_refusal_of_a_booked_claim_is_a_violation() -> None:
    """`held` is untrue for a booking and for a hold if one of the claims was booked at every moment."""
    hold, ada = of("ab", not_granted(held("Eve", 0, 0.2, 0.3))), of("a", booked("Ada", 1, 3))
    rows = (row("Ada", ("a",)),)
    for ask in (of("ab", refused("Bob", 0, 0, HELD)), of("ab", replace(held("Bob", 0, 0, 0), expires=None))):
        refusal = replace(ask, outcome="refused", status=409, error=HELD)
        beside = replace(refusal, invoked=2.0, returned=4.0)
        after = replace(refusal, invoked=3.5, returned=4.0)
        assert broken_rules(record(hold, ada, beside, rows=rows)) == set()
        assert broken_rules(record(hold, ada, after, rows=rows)) == {Rule.TRUE_REFUSAL}
        assert broken_rules(record(hold, of("c", ada), after, rows=(row("Ada", ("c",)),))) == set()


def test_held_after_booked_is_shown_with_the_booking() -> None:
    """The message shows only the refusal and the booking before it."""
    crowd = [lost(f"P{number}", 0) for number in range(20)]
    hold = not_granted(held("Eve", 0, 0.2, 0.3))
    history = record(*crowd, hold, booked("Ada", 1, 3), refused("Bob", 4, 5, HELD), rows=(row("Ada"),))
    [shown] = check(history).violations
    assert "at every moment one of its claims was booked" in shown.text
    assert [each.patient for each in shown.operations] == ["Ada", "Bob"]
