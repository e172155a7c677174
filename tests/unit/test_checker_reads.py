"""The checker compares reads, lists and stored histories with the acknowledged changes."""

from dataclasses import replace

import pytest

from tests.proof.checker import Rule, check
from tests.proof.checker.builders import (
    asked,
    booked,
    cancelled,
    entries,
    held,
    history,
    moved,
    of,
    read,
    record,
    stored,
    telling,
)
from tests.proof.faults.history import Operation
from tests.proof.faults.places import Change
from tests.unit.lives import ADA, GONE, MOVED, STAYED, rules, without_answer


def test_read_after_an_acknowledged_move_shows_the_new_place() -> None:
    """A read, a history and a replay after the answer to a move include the move."""
    before = ADA, telling(moved("Ada", "b", 2, 3), "b")
    replay = of("a", booked("Ada", 4, 5, replayed=True))
    for stale in (
        telling(read("ada", 4, 5), "a"),
        history("Ada", 4, 5, *entries("booked a")),
        telling(replay, "a"),
    ):
        assert Rule.LINEARIZABLE in rules(*before, stale, rows=(MOVED,))
    for fresh in (
        telling(read("ada", 4, 5), "b"),
        history("Ada", 4, 5, *entries("booked a", "moved b")),
        telling(replay, "b"),
    ):
        assert rules(*before, fresh, rows=(MOVED,)) == set()


@pytest.mark.parametrize(
    "changes",
    [
        ("booked a", "moved b m", "moved b n"),
        ("booked a", "booked a"),
        ("booked a", "cancelled a", "moved b m"),
        ("booked a", "moved b m", "moved c m"),
    ],
    ids=["move to the same place", "booked twice", "move after the cancel", "one move twice"],
)
def test_impossible_history_is_a_violation(changes: tuple[str, ...]) -> None:
    """A history has one booking first, no move twice or without effect, and no entry after a cancel."""
    unknown = (without_answer(each) for each in (moved("Ada", "b", 2, 3), moved("Ada", "c", 2, 3, "n")))
    assert Rule.HISTORY in rules(ADA, *unknown, cancelled("Ada", 2, None), rows=(stored("Ada", *changes),))


def test_wrong_version_place_or_claims_are_a_violation() -> None:
    """Versions have no gap, and a row has the version, place and claims of its last change."""
    gap = replace(MOVED, history=(MOVED.history[0], replace(MOVED.history[1], version=3)))
    change = moved("Ada", "b", 2, 3)
    for wrong in (
        gap,
        replace(MOVED, version=1),
        replace(MOVED, resources=("a",)),
        replace(MOVED, stored=STAYED.stored),
    ):
        assert Rule.HISTORY in rules(ADA, change, rows=(wrong,))


def test_lost_or_doubled_history_entry_is_a_violation() -> None:
    """Every acknowledged change has one entry, and every entry has a request."""
    assert Rule.LINEARIZABLE in rules(ADA, moved("Ada", "b", 2, 3), rows=(STAYED,))
    moved_back = stored("Ada", "booked a", "moved b m", "moved a n")
    assert Rule.LINEARIZABLE in rules(ADA, moved("Ada", "b", 2, 3), rows=(moved_back,))


def window(kind: str, resource: str, invoked: float, **answer: object) -> Operation:
    query = of(resource, asked("list", "", invoked, invoked + 1))
    return replace(query, kind=kind, until="2031-05-04T10:00:00.000Z", **answer)  # type: ignore[arg-type]


def test_list_contains_exactly_the_bookings_of_its_window() -> None:
    """A list contains a booking at its current place until it is moved away or cancelled."""
    listed = ("ada", telling(ADA, "a").told)
    assert rules(ADA, window("list", "a", 2, listed=(listed,)), rows=(STAYED,)) == set()
    assert rules(ADA, window("list", "b", 2), rows=(STAYED,)) == set()
    assert Rule.LINEARIZABLE in rules(ADA, window("list", "a", 2), rows=(STAYED,))
    assert rules(ADA, cancelled("Ada", 1, 1.5), window("list", "a", 2), rows=(GONE,)) == set()
    late = window("list", "a", 4, listed=(listed,))
    assert Rule.LINEARIZABLE in rules(ADA, moved("Ada", "b", 2, 3), late, rows=(MOVED,))
    assert rules(ADA, moved("Ada", "b", 2, 5), window("list", "a", 3), rows=(MOVED,)) == set()


def test_slots_contains_exactly_the_taken_slots() -> None:
    """`slots` contains the slots that are booked or held throughout, and no free slot as booked."""
    slot = ADA.slot
    booked_then = window("slots", "a", 2, taken=((slot, "booked"),))
    assert rules(ADA, booked_then, rows=(STAYED,)) == set()
    assert Rule.LINEARIZABLE in rules(ADA, window("slots", "a", 2), rows=(STAYED,))
    assert Rule.LINEARIZABLE in rules(ADA, cancelled("Ada", 1, 1.5), booked_then, rows=(GONE,))
    hold = of("a", held("Bob", 0, 1, 10))
    assert rules(hold, window("slots", "a", 2, taken=((slot, "held"),))) == set()
    assert rules(hold, window("slots", "a", 2)) == {Rule.HOLD}
    assert rules(hold, window("slots", "a", 20)) == set()


def test_violation_shows_the_places_of_its_bookings() -> None:
    """A message shows the requests, the answers, and the history entries that contradict them."""
    verdict = check(record(ADA, telling(moved("Ada", "b", 2, 3), "b"), rows=(STAYED,)))
    [shown] = [each for each in verdict.violations if each.rule is Rule.LINEARIZABLE]
    assert [each.kind for each in shown.operations] == ["book", "move", "history"]
    assert "; 1 booked a 2031-05-04T09:00:00.000Z" in str(shown)


def test_history_entries_agree_if_their_known_fields_are_equal() -> None:
    """Two entries agree if every field that is known of both is equal."""
    [one] = entries("booked a")
    assert one.agrees(Change("booked", one.place, 1, "m"))
    assert not replace(one, move_id="n").agrees(replace(one, move_id="m"))
