"""The checker judges idempotency keys, replays and 422."""

from dataclasses import replace

import pytest

from tests.proof.checker import Rule, check
from tests.proof.checker.builders import (
    SLOT,
    asked,
    booked,
    held,
    lost,
    of,
    record,
    refused,
    row,
)
from tests.proof.checker.model import BOOKED, HELD
from tests.unit.verdicts import LATER, broken_rules

REUSED = "Idempotency-Key was used for a different request"


def test_replay_with_another_id_is_a_violation() -> None:
    """Two ids for one key are a violation that shows the two answers."""
    replay = replace(booked("Ada", 2, 3, replayed=True), appointment_id="other")
    history = record(refused("Bob", 2, 3), booked("Ada", 0, 1), replay, rows=(row("Ada"),))
    [shown] = [each for each in check(history).violations if each.rule is Rule.ONE_KEY]

    assert [each.appointment_id for each in shown.operations] == ["ada", "other"]


@pytest.mark.parametrize(("patient", "slot"), [("Bob", SLOT), ("Ada", LATER)], ids=["patient", "slot"])
def test_used_key_with_another_request_gets_422(patient: str, slot: str) -> None:
    """After a 201, the key with another patient or slot is refused with 422."""
    both = replace(booked("Ada", 2, 3), patient=patient, slot=slot)
    other = replace(both, appointment_id=None, outcome="refused")
    reused = replace(other, status=422, error=REUSED)

    assert broken_rules(record(booked("Ada", 0, 1), reused, rows=(row("Ada"),))) == set()
    wrong = replace(other, status=409, error=HELD)
    assert Rule.ONE_KEY in broken_rules(record(booked("Ada", 0, 1), wrong, rows=(row("Ada"),)))
    assert Rule.ONE_KEY in broken_rules(record(booked("Ada", 0, 1), both, rows=(row("Ada"),)))


def test_422_needs_an_earlier_request_with_the_key() -> None:
    """422 is true only after another request with the key that was executed or may have been."""
    reused = asked("book", "Ada", 2, 3, key="k", outcome="refused", status=422, error=REUSED)
    earlier = asked("book", "Bob", 0, 1, key="k", outcome="unknown")
    refusal = asked("book", "Bob", 0, 1, key="k", outcome="refused", status=400, error="Bad")

    assert broken_rules(record(earlier, reused)) == set()
    assert broken_rules(record(reused)) == {Rule.ONE_KEY}
    assert broken_rules(record(refusal, reused)) == {Rule.ONE_KEY}
    assert broken_rules(record(replace(earlier, invoked=4, returned=5), reused)) == {Rule.ONE_KEY}


def test_replay_over_nats_needs_an_earlier_request_with_the_key() -> None:
    """Over NATS a replay needs an earlier request with the key; over HTTP the gateway may retry its own."""
    replay = booked("Ada", 2, 3, replayed=True)
    over_nats, stored = replace(replay, via="nats"), (row("Ada"),)
    assert broken_rules(record(over_nats, rows=stored)) == {Rule.ONE_KEY}
    assert broken_rules(record(refused("Ada", 0, 1, HELD), held("Bob", 0, 1, 2), over_nats, rows=stored)) == {
        Rule.ONE_KEY
    }
    assert broken_rules(record(lost("Ada", 0), over_nats, rows=stored)) == set()
    assert broken_rules(record(replay, rows=stored)) == set()


def test_key_of_a_refused_booking_may_book_another_slot() -> None:
    """Refusals are not remembered, so the key may then book another slot."""
    elsewhere = replace(booked("Ada", 4, 5), slot=LATER)
    rows = (row("Bob"), replace(row("Ada"), slot=LATER))

    assert broken_rules(record(booked("Bob", 0, 1), refused("Ada", 2, 3), elsewhere, rows=rows)) == set()


@pytest.mark.parametrize("error", [BOOKED, HELD])
def test_retry_of_a_confirmed_booking_is_not_refused(error: str) -> None:
    """A retry is refused neither for its own booking nor for a hold."""
    history = record(
        held("Bob", 1.1, 1.2, 1.3), booked("Ada", 2, 3), refused("Ada", 4, 5, error), rows=(row("Ada"),)
    )
    assert broken_rules(history) == {Rule.TRUE_REFUSAL}


def test_key_with_other_resources_is_another_request() -> None:
    """The same key with more resources never gets a second 201."""
    more = replace(of("ab", booked("Ada", 2, 3)), appointment_id="other")
    rows = (row("Ada", ("a",)), replace(row("Ada", ("a", "b")), id="other"))
    first = of("a", booked("Ada", 0, 1))
    texts = [each.text for each in check(record(first, more, rows=rows)).violations]
    assert "the key key-Ada was confirmed for two different requests" in texts
    reused = replace(more, appointment_id=None, outcome="refused", status=422, error=REUSED)
    assert broken_rules(record(first, reused, rows=rows[:1])) == set()
