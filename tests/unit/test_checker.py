"""The checker accepts bookings in a possible order, and rejects two owners of a claim."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.proof.checker import Rule, Verdict, check
from tests.proof.checker.builders import (
    SLOT,
    asked,
    booked,
    held,
    lost,
    of,
    read,
    record,
    refused,
    row,
)
from tests.proof.checker.model import BOOKED
from tests.proof.faults.history import Fault, History, Operation
from tests.unit.verdicts import LATER, broken_rules


def test_saved_history_loads_as_equal(tmp_path: Path) -> None:
    """A history that is saved and loaded is the same history."""
    operations = record(booked("Ada", 0, 1), held("Bob", 0, 1, 9), lost("Cyd", 1), rows=(row("Ada"),))
    history = replace(operations, faults=(Fault("redis_kill", 1, None, "redis"),))
    history.save(tmp_path / "history.json")

    assert History.load(tmp_path / "history.json") == history


def test_race_with_one_winner_is_accepted() -> None:
    """One 201, true refusals, a replay and reads before and after are a valid history."""
    history = record(
        read("ada", 0, 0.1, found=False),
        booked("Ada", 0, 1),
        refused("Bob", 0.5, 0.9),
        booked("Ada", 2, 3, replayed=True),
        asked("hold", "Cyd", 2, 3, outcome="refused", error=BOOKED),
        read("ada", 3, 4),
        rows=(row("Ada"),),
    )
    assert check(history) == Verdict(())


def test_booking_with_a_lost_answer_may_own_the_slot_or_not() -> None:
    """A booking without an answer may have been made at once, much later, or never."""
    assert broken_rules(record(lost("Ada", 0), booked("Bob", 5, 6), rows=(row("Bob"),))) == set()
    assert broken_rules(record(lost("Ada", 0), refused("Bob", 5, 6), rows=(row("Ada"),))) == set()
    assert broken_rules(record(lost("Ada", 0), read("ada", 5, 6, found=False), refused("Bob", 7, 8))) == set()


def test_two_owners_are_not_linearizable() -> None:
    """Two confirmations of one slot are a violation that shows only these two requests."""
    crowd = [refused(f"P{number}", 1, 2) for number in range(20)]
    history = record(*crowd, booked("Ada", 0, 1), booked("Bob", 0, 1), rows=(row("Ada"),))
    unordered = [each for each in check(history).violations if each.rule is Rule.LINEARIZABLE]

    assert [[each.patient for each in violation.operations] for violation in unordered] == [["Ada", "Bob"]]
    assert f"#21 caller book via http clinic/dr-who {SLOT} id=ada patient=Ada key=key-Ada → ok 201" in str(
        unordered[0]
    )


def test_two_slots_may_have_two_owners() -> None:
    """Each slot is judged separately."""
    other = replace(booked("Bob", 0, 1), slot=LATER)
    rows = (row("Ada"), replace(row("Bob"), slot=LATER))
    assert broken_rules(record(booked("Ada", 0, 1), other, rows=rows)) == set()


@pytest.mark.parametrize(
    "operations",
    [
        (booked("Ada", 0, 1), read("ada", 2, 3, found=False)),
        (read("ada", 0, 1), booked("Ada", 2, 3)),
        (lost("Ada", 0), read("ada", 1, 2), read("ada", 3, 4, found=False)),
        (booked("Ada", 2, 3), booked("Ada", 0, 1, replayed=True)),
        (booked("Ada", 0, 1), booked("Ada", 2, 3)),
    ],
    ids=["404 after 201", "read before booked", "404 after 200", "replay before the booking", "made twice"],
)
def test_answer_out_of_order_is_a_violation(operations: tuple[Operation, ...]) -> None:
    """A booking is made once; reads and replays find it afterwards, and never before."""
    assert broken_rules(record(*operations, rows=(row("Ada"),))) == {Rule.LINEARIZABLE}


def test_replay_may_be_the_only_answer() -> None:
    """A caller may get a replay as its first answer, because the gateway retries a first attempt."""
    assert broken_rules(record(booked("Ada", 0, 1, replayed=True), rows=(row("Ada"),))) == set()


def test_read_is_judged_with_the_slot_of_its_booking() -> None:
    """A read names an id, and need not name the slot."""
    stale = replace(read("ada", 2, 3, found=False), slot="", site="", resources=())
    assert broken_rules(record(booked("Ada", 0, 1), stale, rows=(row("Ada"),))) == {Rule.LINEARIZABLE}


def test_bookings_without_a_shared_resource_may_both_win() -> None:
    """A booking of the doctor and one of the room both win; a booking of both is refused."""
    doctor, room = of("d", booked("Ada", 0, 1)), of("r", booked("Bob", 0, 1))
    both = of("dr", refused("Cyd", 0.5, 2))
    rows = (row("Ada", ("d",)), row("Bob", ("r",)))
    assert check(record(doctor, room, both, rows=rows)) == Verdict(())
    assert broken_rules(record(doctor, of("r", refused("Bob", 0, 2)), both, rows=rows[:1])) == {
        Rule.TRUE_REFUSAL
    }


def test_two_winners_that_share_one_resource_are_a_violation() -> None:
    """A doctor with one room and with another are different bookings, but only one may have the doctor."""
    history = record(
        of("da", booked("Ada", 0, 1)),
        of("db", booked("Bob", 0, 1)),
        rows=(row("Ada", ("d", "a")), row("Bob", ("d", "b"))),
    )
    assert broken_rules(history) == {Rule.LINEARIZABLE, Rule.ONE_WINNER}
    [twins] = [each for each in check(history).violations if each.rule is Rule.ONE_WINNER]
    assert twins.text.startswith("2 bookings own d then")


def test_booking_gets_all_of_its_claims_or_none() -> None:
    """A lost booking that took one of its claims took all, so its other claims are not free later."""
    taken = of("ab", lost("Ada", 0)), of("a", refused("Bob", 1, 2))
    assert broken_rules(record(*taken)) == set()
    assert broken_rules(record(*taken, of("b", refused("Cyd", 3, 4)))) == set()
    assert broken_rules(record(*taken, of("b", booked("Cyd", 3, 4)), rows=(row("Cyd", ("b",)),))) == {
        Rule.TRUE_REFUSAL
    }
    later = of("b", booked("Cyd", 1, 4)), of("a", refused("Dan", 5, 6))
    for rows in ((row("Cyd", ("b",)),), ()):
        assert Rule.TRUE_REFUSAL in broken_rules(record(taken[0], *later, rows=rows))


def test_sites_are_judged_separately() -> None:
    """The same resource, instant and key in another site are another claim and another key."""
    elsewhere = replace(booked("Ada", 0, 1), site="annexe", appointment_id="other")
    rows = (row("Ada"), replace(row("Ada"), site="annexe", id="other"))
    assert broken_rules(record(booked("Ada", 0, 1), elsewhere, rows=rows)) == set()
    refusal = replace(refused("Bob", 2, 3), site="annexe")
    assert broken_rules(record(booked("Ada", 0, 1), refusal, rows=rows[:1])) == {Rule.TRUE_REFUSAL}
