"""The judge of the fault runs accepts true histories and rejects false ones, each by the right rule."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.proof.checker import Rule, Verdict, check
from tests.proof.checker.builders import (
    SLOT,
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
from tests.proof.faults.history import Fault, History, Operation

LATER = "2031-05-04T10:00:00.000Z"
REUSED = "Idempotency-Key was used for a different request"


def rules(history: History) -> set[Rule]:
    return {violation.rule for violation in check(history).violations}


def test_a_history_survives_a_file(tmp_path: Path) -> None:
    """A history that is saved and loaded is the same history."""
    operations = record(booked("Ada", 0, 1), held("Bob", 0, 1, 9), lost("Cyd", 1), rows=(row("Ada"),))
    history = replace(operations, faults=(Fault("redis_kill", 1, None, "redis"),))
    history.save(tmp_path / "history.json")

    assert History.load(tmp_path / "history.json") == history


def test_a_race_with_one_winner_is_accepted() -> None:
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


def test_a_lost_booking_may_own_the_slot_or_not() -> None:
    """A booking without an answer may have won, at once or much later, or never have been made."""
    assert rules(record(lost("Ada", 0), booked("Bob", 5, 6), rows=(row("Bob"),))) == set()
    assert rules(record(lost("Ada", 0), refused("Bob", 5, 6), rows=(row("Ada"),))) == set()
    assert rules(record(lost("Ada", 0), read("ada", 5, 6, found=False), refused("Bob", 7, 8))) == set()


@pytest.mark.parametrize(
    "answer",
    [
        asked("book", "Ada", 0, 1, key="key-Ada", outcome="unknown"),
        asked("book", "Ada", 0, None, key="key-Ada", outcome="unknown"),
        asked("book", "Ada", 0, None, key="key-Ada", id="ada"),
        asked("book", "Ada", 0, 1, outcome="unknown"),
    ],
    ids=["504", "lost", "never returned", "no key"],
)
def test_a_lost_booking_is_known_by_its_row(answer: Operation) -> None:
    """A booking that is stored was made: nobody else can have been confirmed."""
    assert rules(record(answer, refused("Bob", 0, 2), rows=(row("Ada"),))) == set()
    assert Rule.LINEARIZABLE in rules(record(answer, booked("Bob", 0, 2), rows=(row("Ada"), row("Bob"))))


def test_a_row_is_not_taken_for_a_booking_that_did_not_make_it() -> None:
    """A lost booking without a key made no row of a key that was sent, nor one that another made."""
    without_key = asked("book", "Ada", 0, None, outcome="unknown")
    denied = asked("book", "Ada", 0, 1, key="key-Ada", outcome="not_executed")
    assert rules(record(without_key, denied, rows=(row("Ada"),))) == {Rule.KNOWN_OUTCOME}

    other = asked("book", "Ada", 3, 4, id="ada", replayed=True)
    stored = (replace(row("Ada"), key="random"),)
    assert rules(record(without_key, refused("Bob", 1, 2), other, rows=stored)) == {Rule.TRUE_REFUSAL}


def test_two_owners_are_not_linearizable() -> None:
    """Two confirmations of one slot are shown as just those two, however many others there were."""
    crowd = [refused(f"P{number}", 1, 2) for number in range(20)]
    history = record(*crowd, booked("Ada", 0, 1), booked("Bob", 0, 1), rows=(row("Ada"),))
    unordered = [each for each in check(history).violations if each.rule is Rule.LINEARIZABLE]

    assert [[each.patient for each in violation.operations] for violation in unordered] == [["Ada", "Bob"]]
    assert f"#21 caller book via http clinic/dr-who {SLOT} id=ada patient=Ada key=key-Ada → ok 201" in str(
        unordered[0]
    )


def test_slots_are_judged_apart() -> None:
    """Two slots may have two owners."""
    other = replace(booked("Bob", 0, 1), slot=LATER)
    rows = (row("Ada"), replace(row("Bob"), slot=LATER))
    assert rules(record(booked("Ada", 0, 1), other, rows=rows)) == set()


@pytest.mark.parametrize(
    "operations",
    [
        (booked("Ada", 0, 1), read("ada", 2, 3, found=False)),
        (read("ada", 0, 1), booked("Ada", 2, 3)),
        (lost("Ada", 0), read("ada", 1, 2), read("ada", 3, 4, found=False)),
        (booked("Ada", 2, 3), booked("Ada", 0, 1, replayed=True)),
        (booked("Ada", 0, 1), booked("Ada", 2, 3)),
    ],
    ids=["404 after 201", "read before booked", "404 after 200", "replay of nothing", "made twice"],
)
def test_an_answer_out_of_order_is_a_violation(operations: tuple[Operation, ...]) -> None:
    """A booking is made once: it can be read or replayed after that, always, and not before."""
    assert rules(record(*operations, rows=(row("Ada"),))) == {Rule.LINEARIZABLE}


def test_a_replay_may_be_the_only_answer() -> None:
    """A caller whose first attempt was repeated for it may hear of a replay first."""
    assert rules(record(booked("Ada", 0, 1, replayed=True), rows=(row("Ada"),))) == set()


def test_what_was_not_executed_is_never_done() -> None:
    """A booking answered 503 owns nothing, and is not stored."""
    denied = asked("book", "Ada", 0, 1, key="key-Ada", outcome="not_executed")

    assert rules(record(denied, refused("Bob", 2, 3))) == {Rule.TRUE_REFUSAL}
    assert rules(record(denied, rows=(row("Ada"),))) == {Rule.KNOWN_OUTCOME}
    assert rules(record(refused("Ada", 0, 1), lost("Bob", 0), rows=(row("Ada"),))) == {Rule.KNOWN_OUTCOME}


@pytest.mark.parametrize("field", ["site", "resources", "slot", "patient", "key", "status"])
def test_a_confirmed_booking_is_stored_as_confirmed(field: str) -> None:
    """A confirmed booking is among the rows, with the slot and patient that were asked for."""
    changes: dict[str, Any] = {field: ("other",) if field == "resources" else "other"}
    changed = replace(row("Ada"), **changes)

    assert Rule.DURABLE in rules(record(booked("Ada", 0, 1), rows=(changed,)))
    assert rules(record(booked("Ada", 0, 1))) == {Rule.DURABLE}


def test_a_claim_has_one_row() -> None:
    """Two active rows of one claim are a violation, whatever callers were told; a cancelled one is none."""
    twins = (row("Ada"), row("Bob"))

    assert Rule.ONE_WINNER in rules(record(lost("Ada", 0), lost("Bob", 0), rows=twins))
    cancelled = replace(row("Ada"), status="cancelled")
    assert rules(record(lost("Ada", 0), lost("Bob", 0), rows=(cancelled, row("Bob")))) == set()


def test_a_key_has_one_row() -> None:
    """Two rows with one key are a violation, though they are of two slots."""
    elsewhere = replace(lost("Ada", 0), slot=LATER)
    rows = (row("Ada"), replace(row("Ada"), id="other", slot=LATER))

    assert rules(record(lost("Ada", 0), elsewhere, rows=rows)) == {Rule.ONE_KEY}


def test_a_replay_has_the_id_of_the_booking() -> None:
    """Two ids for one key are a violation that shows the two answers."""
    replay = replace(booked("Ada", 2, 3, replayed=True), appointment_id="other")
    history = record(refused("Bob", 2, 3), booked("Ada", 0, 1), replay, rows=(row("Ada"),))
    [shown] = [each for each in check(history).violations if each.rule is Rule.ONE_KEY]

    assert [each.appointment_id for each in shown.operations] == ["ada", "other"]


@pytest.mark.parametrize(("patient", "slot"), [("Bob", SLOT), ("Ada", LATER)], ids=["patient", "slot"])
def test_a_used_key_with_another_request_hears_422(patient: str, slot: str) -> None:
    """After a 201 the key with another patient or slot is refused with 422 and nothing else."""
    both = replace(booked("Ada", 2, 3), patient=patient, slot=slot)
    other = replace(both, appointment_id=None, outcome="refused")
    told = replace(other, status=422, error=REUSED)

    assert rules(record(booked("Ada", 0, 1), told, rows=(row("Ada"),))) == set()
    wrong = replace(other, status=409, error=HELD)
    assert Rule.ONE_KEY in rules(record(booked("Ada", 0, 1), wrong, rows=(row("Ada"),)))
    assert Rule.ONE_KEY in rules(record(booked("Ada", 0, 1), both, rows=(row("Ada"),)))


def test_a_key_is_reused_only_if_it_was_used() -> None:
    """422 needs another request with the key that was or may have been carried out."""
    told = asked("book", "Ada", 2, 3, key="k", outcome="refused", status=422, error=REUSED)
    earlier = asked("book", "Bob", 0, 1, key="k", outcome="unknown")
    refusal = asked("book", "Bob", 0, 1, key="k", outcome="refused", status=400, error="Bad")

    assert rules(record(earlier, told)) == set()
    assert rules(record(told)) == {Rule.ONE_KEY}
    assert rules(record(refusal, told)) == {Rule.ONE_KEY}
    assert rules(record(replace(earlier, invoked=4, returned=5), told)) == {Rule.ONE_KEY}


def test_a_replay_is_of_something() -> None:
    """Over NATS a replay needs an earlier request with the key; over HTTP the gateway may repeat its own."""
    replay = booked("Ada", 2, 3, replayed=True)
    over_nats, stored = replace(replay, via="nats"), (row("Ada"),)
    assert rules(record(over_nats, rows=stored)) == {Rule.ONE_KEY}
    assert rules(record(refused("Ada", 0, 1, HELD), held("Bob", 0, 1, 2), over_nats, rows=stored)) == {
        Rule.ONE_KEY
    }
    assert rules(record(lost("Ada", 0), over_nats, rows=stored)) == set()
    assert rules(record(replay, rows=stored)) == set()


def test_a_refused_request_leaves_its_key_free() -> None:
    """Refusals are not remembered: the key may then book another slot."""
    elsewhere = replace(booked("Ada", 4, 5), slot=LATER)
    rows = (row("Bob"), replace(row("Ada"), slot=LATER))

    assert rules(record(booked("Bob", 0, 1), refused("Ada", 2, 3), elsewhere, rows=rows)) == set()


@pytest.mark.parametrize("error", [BOOKED, HELD])
def test_a_retry_of_a_confirmed_booking_is_not_refused(error: str) -> None:
    """A retry never hears that its own booking, or a hold, is in its way."""
    history = record(
        held("Bob", 1.1, 1.2, 1.3), booked("Ada", 2, 3), refused("Ada", 4, 5, error), rows=(row("Ada"),)
    )
    assert rules(history) == {Rule.TRUE_REFUSAL}


def phantom() -> History:
    """Ada's lost booking was not made, for Bob was confirmed; yet Cyd was refused before Bob asked."""
    return record(lost("Ada", 0), refused("Cyd", 2, 3), booked("Bob", 4, 5), rows=(row("Bob"),))


def test_a_refusal_of_a_free_slot_is_a_violation() -> None:
    """`Slot already booked` without a possible owner is untrue, to a booking and to a hold."""
    [shown] = check(phantom()).violations
    assert shown.rule is Rule.TRUE_REFUSAL
    assert [each.patient for each in shown.operations] == ["Cyd", "Bob"]

    hold = asked("hold", "Cyd", 0, 1, outcome="refused", error=BOOKED)
    assert rules(record(hold, booked("Ada", 2, 3), rows=(row("Ada"),))) == {Rule.TRUE_REFUSAL}
    assert rules(record(hold, booked("Ada", 1, 3), rows=(row("Ada"),))) == set()


def test_a_false_refusal_is_shown_with_the_least_that_proves_it() -> None:
    """Of two proofs the shorter is shown; a read comes with the request that it can have come from."""
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


def test_a_read_is_judged_with_the_slot_of_its_booking() -> None:
    """A reader knows an id, and need not know the slot."""
    stale = replace(read("ada", 2, 3, found=False), slot="", site="", resources=())
    assert rules(record(booked("Ada", 0, 1), stale, rows=(row("Ada"),))) == {Rule.LINEARIZABLE}


def test_held_is_said_only_of_a_slot_that_somebody_asked_to_hold() -> None:
    """`held` without any hold is untrue: bookings do not shut each other out."""
    assert rules(record(refused("Cyd", 0, 1, HELD), held("Bob", 2, 3, 9))) == {Rule.TRUE_REFUSAL}
    assert rules(record(refused("Cyd", 0, 2, HELD), held("Bob", 1, 3, 9))) == set()


def test_an_earlier_change_of_primary_is_no_excuse() -> None:
    """Refusals are read behind a barrier, so a change of primary excuses no untrue one, nor two winners."""
    twins = record(booked("Ada", 0, 1), booked("Bob", 0, 1), rows=(row("Ada"), row("Bob")))
    for history in (phantom(), twins, record(booked("Ada", 0, 1))):
        assert not check(replace(history, faults=(Fault("mongo_isolate_primary", 0, None),))).accepted


def test_bookings_that_share_no_resource_may_both_win() -> None:
    """Whoever wants the doctor and whoever wants the room are both booked; who wants both is refused."""
    doctor, room = of("d", booked("Ada", 0, 1)), of("r", booked("Bob", 0, 1))
    both = of("dr", refused("Cyd", 0.5, 2))
    rows = (row("Ada", ("d",)), row("Bob", ("r",)))
    assert check(record(doctor, room, both, rows=rows)) == Verdict(())
    assert rules(record(doctor, of("r", refused("Bob", 0, 2)), both, rows=rows[:1])) == {Rule.TRUE_REFUSAL}


def test_two_winners_that_share_one_resource_are_a_violation() -> None:
    """A doctor and two rooms make two different bookings, and still only one may have the doctor."""
    history = record(
        of("da", booked("Ada", 0, 1)),
        of("db", booked("Bob", 0, 1)),
        rows=(row("Ada", ("d", "a")), row("Bob", ("d", "b"))),
    )
    assert rules(history) == {Rule.LINEARIZABLE, Rule.ONE_WINNER}
    [twins] = [each for each in check(history).violations if each.rule is Rule.ONE_WINNER]
    assert twins.text.startswith("2 bookings own d then")


def test_a_booking_gets_all_of_its_claims_or_none() -> None:
    """Where a lost booking took one of its claims, it took all: another of them was not free later."""
    taken = of("ab", lost("Ada", 0)), of("a", refused("Bob", 1, 2))
    assert rules(record(*taken)) == set()
    assert rules(record(*taken, of("b", refused("Cyd", 3, 4)))) == set()
    assert rules(record(*taken, of("b", booked("Cyd", 3, 4)), rows=(row("Cyd", ("b",)),))) == {
        Rule.TRUE_REFUSAL
    }
    later = of("b", booked("Cyd", 1, 4)), of("a", refused("Dan", 5, 6))
    for rows in ((row("Cyd", ("b",)),), ()):
        assert Rule.TRUE_REFUSAL in rules(record(taken[0], *later, rows=rows))


@pytest.mark.parametrize("sooner", ["b", "ab"])
def test_of_lost_bookings_the_one_that_fits_was_made(sooner: str) -> None:
    """A refusal is true if any of the lost bookings explains it without taking what another got later."""
    later = "ab" if sooner == "b" else "b"
    history = record(
        of(sooner, lost("Ada", 0)),
        of(later, lost("Bob", 1)),
        of("b", refused("Cyd", 2, 3)),
        of("a", booked("Eve", 4, 5)),
        rows=(row("Eve", ("a",)),),
    )
    assert rules(history) == set()


def test_refusals_that_contradict_each_other_are_a_violation() -> None:
    """Booked at one time, and later held and so not booked: each may be true, both are not."""
    lost_one, hold = lost("Ada", 0), not_granted(held("Eve", 0, 0.2, 0.3))
    bob, cyd = refused("Bob", 1, 2), refused("Cyd", 3, 4, HELD)
    assert rules(record(lost_one, hold, bob)) == rules(record(lost_one, hold, cyd)) == set()
    assert rules(record(lost_one, hold, bob, cyd)) == {Rule.LINEARIZABLE}


def test_a_row_that_nobody_asked_for_is_noticed_by_one_resource() -> None:
    """A stored booking that shares a resource with what was asked for must be somebody's."""
    strange = row("Eve", ("a", "z"))
    assert rules(
        record(of("ab", refused("Bob", 0, 1, HELD)), of("a", held("Zoe", 0, 1, 9)), rows=(strange,))
    ) == {Rule.KNOWN_OUTCOME}


def test_a_booking_is_stored_with_all_that_it_claims() -> None:
    """A row that has lost one of the resources is not what was confirmed."""
    assert rules(record(of("ab", booked("Ada", 0, 1)), rows=(row("Ada", ("a",)),))) == {Rule.DURABLE}


def test_sites_are_judged_apart() -> None:
    """The same resource, instant and key in another site are another claim and another key."""
    elsewhere = replace(booked("Ada", 0, 1), site="annexe", appointment_id="other")
    rows = (row("Ada"), replace(row("Ada"), site="annexe", id="other"))
    assert rules(record(booked("Ada", 0, 1), elsewhere, rows=rows)) == set()
    refusal = replace(refused("Bob", 2, 3), site="annexe")
    assert rules(record(booked("Ada", 0, 1), refusal, rows=rows[:1])) == {Rule.TRUE_REFUSAL}


def test_a_key_is_for_the_same_resources() -> None:
    """The same key with more resources is another request: never a second 201."""
    more = replace(of("ab", booked("Ada", 2, 3)), appointment_id="other")
    rows = (row("Ada", ("a",)), replace(row("Ada", ("a", "b")), id="other"))
    first = of("a", booked("Ada", 0, 1))
    texts = [each.text for each in check(record(first, more, rows=rows)).violations]
    assert "the key key-Ada was confirmed for two different requests" in texts
    told = replace(more, appointment_id=None, outcome="refused", status=422, error=REUSED)
    assert rules(record(first, told, rows=rows[:1])) == set()


def test_booked_wins_over_held() -> None:
    """`held` is untrue, to a booking and to a hold, where at every moment one of the claims was booked."""
    hold, ada = of("ab", not_granted(held("Eve", 0, 0.2, 0.3))), of("a", booked("Ada", 1, 3))
    rows = (row("Ada", ("a",)),)
    for ask in (of("ab", refused("Bob", 0, 0, HELD)), of("ab", replace(held("Bob", 0, 0, 0), expires=None))):
        told = replace(ask, outcome="refused", status=409, error=HELD)
        beside = replace(told, invoked=2.0, returned=4.0)
        after = replace(told, invoked=3.5, returned=4.0)
        assert rules(record(hold, ada, beside, rows=rows)) == set()
        assert rules(record(hold, ada, after, rows=rows)) == {Rule.TRUE_REFUSAL}
        assert rules(record(hold, of("c", ada), after, rows=(row("Ada", ("c",)),))) == set()


def test_held_after_booked_is_shown_with_the_booking() -> None:
    """The message names the refusal and the booking that stood before it, and no more."""
    crowd = [lost(f"P{number}", 0) for number in range(20)]
    hold = not_granted(held("Eve", 0, 0.2, 0.3))
    history = record(*crowd, hold, booked("Ada", 1, 3), refused("Bob", 4, 5, HELD), rows=(row("Ada"),))
    [shown] = check(history).violations
    assert "at every moment one of its claims was booked" in shown.text
    assert [each.patient for each in shown.operations] == ["Ada", "Bob"]
