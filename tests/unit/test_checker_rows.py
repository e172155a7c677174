"""The checker compares the stored rows with the answers."""

from dataclasses import replace
from typing import Any

import pytest

from tests.proof.checker import Rule
from tests.proof.checker.builders import (
    asked,
    at,
    booked,
    held,
    lost,
    of,
    record,
    refused,
    row,
    stored,
)
from tests.proof.checker.model import HELD
from tests.proof.faults.history import Operation
from tests.proof.faults.places import VISIT, VISIT_MINUTES
from tests.unit.verdicts import LATER, broken_rules


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
def test_stored_row_proves_a_booking_with_a_lost_answer(answer: Operation) -> None:
    """A stored booking was made, so no other booking of its claims was confirmed."""
    assert broken_rules(record(answer, refused("Bob", 0, 2), rows=(row("Ada"),))) == set()
    assert Rule.LINEARIZABLE in broken_rules(
        record(answer, booked("Bob", 0, 2), rows=(row("Ada"), row("Bob")))
    )


def test_lost_booking_does_not_own_the_row_of_another_request() -> None:
    """A lost booking without a key made no row that has a sent key or another request's id."""
    without_key = asked("book", "Ada", 0, None, outcome="unknown")
    denied = asked("book", "Ada", 0, 1, key="key-Ada", outcome="not_executed")
    assert broken_rules(record(without_key, denied, rows=(row("Ada"),))) == {Rule.KNOWN_OUTCOME}

    other = asked("book", "Ada", 3, 4, id="ada", replayed=True)
    stored = (replace(row("Ada"), key="random"),)
    assert broken_rules(record(without_key, refused("Bob", 1, 2), other, rows=stored)) == {Rule.TRUE_REFUSAL}


def test_not_executed_booking_is_never_made() -> None:
    """A booking answered 503 owns no slot, and is not stored."""
    denied = asked("book", "Ada", 0, 1, key="key-Ada", outcome="not_executed")

    assert broken_rules(record(denied, refused("Bob", 2, 3))) == {Rule.TRUE_REFUSAL}
    assert broken_rules(record(denied, rows=(row("Ada"),))) == {Rule.KNOWN_OUTCOME}
    assert broken_rules(record(refused("Ada", 0, 1), lost("Bob", 0), rows=(row("Ada"),))) == {
        Rule.KNOWN_OUTCOME
    }


@pytest.mark.parametrize("field", ["site", "resources", "slot", "patient", "key", "status"])
def test_confirmed_booking_is_stored_as_confirmed(field: str) -> None:
    """A confirmed booking is among the rows, with the requested slot and patient."""
    changes: dict[str, Any] = {field: ("other",) if field == "resources" else "other"}
    changed = replace(row("Ada"), **changes)

    assert Rule.DURABLE in broken_rules(record(booked("Ada", 0, 1), rows=(changed,)))
    assert broken_rules(record(booked("Ada", 0, 1))) == {Rule.DURABLE}


def test_booking_is_stored_with_all_of_its_claims() -> None:
    """A row without one of the confirmed resources is a violation."""
    assert broken_rules(record(of("ab", booked("Ada", 0, 1)), rows=(row("Ada", ("a",)),))) == {Rule.DURABLE}


def test_two_booked_rows_of_one_claim_are_a_violation() -> None:
    """Two booked rows of one claim are a violation, whatever the answers; a cancelled row is not counted."""
    twins = (row("Ada"), row("Bob"))

    assert Rule.ONE_WINNER in broken_rules(record(lost("Ada", 0), lost("Bob", 0), rows=twins))
    cancelled = replace(row("Ada"), status="cancelled")
    assert broken_rules(record(lost("Ada", 0), lost("Bob", 0), rows=(cancelled, row("Bob")))) == set()


def test_two_rows_with_one_key_are_a_violation() -> None:
    """Two rows with one key are a violation, even if their slots differ."""
    elsewhere = replace(lost("Ada", 0), slot=LATER)
    rows = (row("Ada"), replace(row("Ada"), id="other", slot=LATER))

    assert broken_rules(record(lost("Ada", 0), elsewhere, rows=rows)) == {Rule.ONE_KEY}


def test_unrequested_row_with_one_shared_resource_is_a_violation() -> None:
    """A stored booking that shares a resource with the requests must belong to a request."""
    strange = row("Eve", ("a", "z"))
    assert broken_rules(
        record(of("ab", refused("Bob", 0, 1, HELD)), of("a", held("Zoe", 0, 1, 9)), rows=(strange,))
    ) == {Rule.KNOWN_OUTCOME}


def test_row_without_the_claims_of_its_buffers_is_found() -> None:
    """A stored booking with a service claims its buffers; one that claims its slot alone is a violation."""
    place = replace(at("a"), minutes=VISIT_MINUTES, service=VISIT)
    booking = stored("Ada", "booked a")
    told = (replace(booking.history[0], place=place),)
    whole = replace(
        booking, minutes=VISIT_MINUTES, service=VISIT, history=told, resources=("a",), stored=place.claims
    )
    book = replace(of("a", booked("Ada", 0, 1)), minutes=VISIT_MINUTES, service=VISIT)
    assert len(place.claims) == 4
    assert broken_rules(record(book, rows=(whole,))) == set()
    alone = replace(whole, stored=replace(place, service=None).claims)
    assert broken_rules(record(book, rows=(alone,))) == {Rule.HISTORY}


def test_booking_inside_a_buffer_is_found() -> None:
    """Two confirmed bookings of which one lies in the buffer of the other cannot both be true."""
    visit = replace(of("a", booked("Ada", 0, 1)), minutes=VISIT_MINUTES, service=VISIT)
    after = "2031-05-04T09:10:00.000Z"
    inside = replace(of("a", booked("Bob", 2, 3)), slot=after, minutes=5)
    beside = replace(inside, slot="2031-05-04T09:15:00.000Z")
    assert Rule.LINEARIZABLE in broken_rules(record(visit, inside))
    assert Rule.LINEARIZABLE not in broken_rules(record(visit, beside))
