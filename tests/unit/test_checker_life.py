"""The judge of the fault runs knows what cancels and moves leave behind, and what must not be there."""

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
    lost,
    moved,
    of,
    read,
    record,
    refused,
    stored,
    telling,
)
from tests.proof.checker.model import BOOKED, CANCELLED, HELD
from tests.proof.faults.history import Operation, Row
from tests.proof.faults.places import Change

ADA, BOB = of("a", booked("Ada", 0, 1)), of("b", booked("Bob", 0, 1))
STAYED = stored("Ada", "booked a")
GONE = stored("Ada", "booked a", "cancelled a")
MOVED = stored("Ada", "booked a", "moved b m")


def rules(*operations: Operation, rows: tuple[Row, ...] = ()) -> set[Rule]:
    return {violation.rule for violation in check(record(*operations, rows=rows)).violations}


def turned_down(operation: Operation, error: str, status: int = 409) -> Operation:
    return replace(operation, outcome="refused", error=error, status=status)


def unanswered(operation: Operation) -> Operation:
    return replace(operation, outcome="unknown", returned=None)


def test_what_was_cancelled_can_be_booked_again() -> None:
    """After a cancel its claims are another's; before it they are not."""
    bob = stored("Bob", "booked a")
    again = of("a", booked("Bob", 4, 5))
    assert rules(ADA, cancelled("Ada", 2, 3), again, rows=(GONE, bob)) == set()
    assert Rule.LINEARIZABLE in rules(ADA, cancelled("Ada", 6, 7), again, rows=(GONE, bob))


def test_what_was_freed_is_free_at_once() -> None:
    """Who asks after the answer to a cancel or a move is not refused for what it freed."""
    told = of("a", refused("Bob", 4, 5))
    assert rules(ADA, cancelled("Ada", 2, 3), told, rows=(GONE,)) == {Rule.TRUE_REFUSAL}
    assert rules(ADA, moved("Ada", "b", 2, 3), told, rows=(MOVED,)) == {Rule.TRUE_REFUSAL}
    beside = replace(told, invoked=2.9)
    assert rules(ADA, cancelled("Ada", 2, 3), beside, rows=(GONE,)) == set()
    assert rules(ADA, moved("Ada", "b", 2, 3), beside, rows=(MOVED,)) == set()


def test_a_cancel_that_got_no_answer_may_have_freed() -> None:
    """Whoever books what was another's shows that the lost cancel was carried out; so must the row."""
    maybe, again = cancelled("Ada", 2, None), of("a", booked("Bob", 4, 5))
    bob = stored("Bob", "booked a")
    assert rules(ADA, maybe, again, rows=(GONE, bob)) == set()
    assert rules(ADA, maybe, rows=(STAYED,)) == rules(ADA, maybe, rows=(GONE,)) == set()
    assert rules(ADA, maybe, again, rows=(STAYED, bob)) == {Rule.LINEARIZABLE, Rule.ONE_WINNER}


def test_a_cancel_is_not_undone() -> None:
    """A booking that was cancelled is read as cancelled, and stored so, for ever."""
    told = telling(cancelled("Ada", 2, 3), "a", "cancelled")
    assert rules(ADA, told, rows=(GONE,)) == set()
    assert Rule.LINEARIZABLE in rules(ADA, told, rows=(STAYED,))
    assert Rule.LINEARIZABLE in rules(ADA, told, telling(read("ada", 4, 5), "a"), rows=(GONE,))
    assert Rule.DURABLE in rules(ADA, rows=(GONE,))


def test_a_cancelled_bookings_key_never_books_again() -> None:
    """A retry is answered 409 with the cancelled booking; 201 or another refusal is a violation."""
    replay = of("a", booked("Ada", 4, 5, replayed=True))
    before = ADA, cancelled("Ada", 2, 3)
    told = telling(turned_down(replace(replay, replayed=False), CANCELLED), "a", "cancelled")
    assert rules(*before, told, rows=(GONE,)) == set()
    assert Rule.LINEARIZABLE in rules(ADA, told, rows=(STAYED,))
    assert Rule.LINEARIZABLE in rules(
        ADA, replace(told, invoked=1.5, returned=1.8), cancelled("Ada", 2, 3), rows=(GONE,)
    )
    assert Rule.DURABLE in rules(*before, told)
    assert Rule.ONE_KEY in rules(*before, replace(told, appointment_id="other"), rows=(GONE,))
    for status in ("booked", "cancelled"):
        assert Rule.LINEARIZABLE in rules(*before, telling(replay, "a", status), rows=(GONE,))
    assert Rule.LINEARIZABLE in rules(*before, replace(replay, replayed=False), rows=(GONE,))
    assert rules(*before, of("a", refused("Ada", 4, 5)), rows=(GONE,)) == {Rule.TRUE_REFUSAL}
    another = replace(replay, appointment_id="other", replayed=False)
    assert Rule.ONE_KEY in rules(*before, another, rows=(GONE,))


def test_a_move_is_atomic() -> None:
    """A booking lies where it was or where it goes: never at both, and never at neither."""
    move = moved("Ada", "b", 2, 5)
    both = of("a", booked("Cyd", 3, 3.2)), of("b", booked("Dan", 3.4, 3.6))
    rows = (MOVED, stored("Cyd", "booked a"), stored("Dan", "booked b"))
    assert Rule.LINEARIZABLE in rules(ADA, move, *both, rows=rows)

    twice = of("b", refused("Cyd", 3, 3.2)), of("a", refused("Dan", 3.4, 3.6))
    assert rules(ADA, move, *twice, rows=(MOVED,)) & {Rule.LINEARIZABLE, Rule.TRUE_REFUSAL}
    assert rules(ADA, move, *(replace(each, invoked=2.1) for each in twice), rows=(MOVED,)) == set()


def test_a_refused_move_keeps_its_place() -> None:
    """A move to what another has is refused, and the booking is where it was, all of it."""
    told = turned_down(moved("Ada", "ab", 2, 3), BOOKED)
    bob = stored("Bob", "booked b")
    assert rules(ADA, BOB, told, rows=(STAYED, bob)) == set()
    assert rules(ADA, told, rows=(STAYED,)) == {Rule.TRUE_REFUSAL}
    assert rules(ADA, turned_down(moved("Ada", "a", 2, 3), BOOKED), rows=(STAYED,)) == {Rule.TRUE_REFUSAL}
    assert Rule.LINEARIZABLE in rules(ADA, BOB, told, rows=(stored("Ada", "booked a", "moved ab m"), bob))


def test_a_cancelled_booking_is_not_moved() -> None:
    """A move of a cancelled booking is refused as such; of one that is not, that is untrue."""
    told = turned_down(moved("Ada", "b", 4, 5), CANCELLED)
    assert rules(ADA, cancelled("Ada", 2, 3), told, rows=(GONE,)) == set()
    assert Rule.LINEARIZABLE in rules(ADA, told, rows=(STAYED,))
    assert Rule.LINEARIZABLE in rules(ADA, cancelled("Ada", 2, 3), moved("Ada", "b", 4, 5), rows=(GONE,))


def test_a_move_is_carried_out_once() -> None:
    """A repeat hears 200 with the booking as it stands, though it was moved on, and does not move it back."""
    on, repeat = moved("Ada", "c", 4, 5, "n"), moved("Ada", "b", 6, 7)
    twice = stored("Ada", "booked a", "moved b m", "moved c n")
    before = ADA, moved("Ada", "b", 2, 3), on
    assert rules(*before, telling(repeat, "c"), rows=(twice,)) == set()
    back = stored("Ada", "booked a", "moved b m", "moved c n", "moved b m")
    assert Rule.HISTORY in rules(*before, telling(repeat, "b"), rows=(back,))
    assert Rule.LINEARIZABLE in rules(*before, telling(repeat, "b"), rows=(twice,))


def test_a_read_sees_what_was_acknowledged() -> None:
    """A read, a history and a replay after the answer to a move tell of it."""
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
    ids=["to where it was", "booked twice", "after the cancel", "one move twice"],
)
def test_a_history_that_cannot_be_is_a_violation(changes: tuple[str, ...]) -> None:
    """One booking first, no move that moves nothing or that came twice, nothing after a cancel."""
    unknown = (unanswered(each) for each in (moved("Ada", "b", 2, 3), moved("Ada", "c", 2, 3, "n")))
    assert Rule.HISTORY in rules(ADA, *unknown, cancelled("Ada", 2, None), rows=(stored("Ada", *changes),))


def test_versions_count_the_changes() -> None:
    """A history with a gap, or a row of another version, place or claims than its last change, is noticed."""
    gap = replace(MOVED, history=(MOVED.history[0], replace(MOVED.history[1], version=3)))
    change = moved("Ada", "b", 2, 3)
    for wrong in (
        gap,
        replace(MOVED, version=1),
        replace(MOVED, resources=("a",)),
        replace(MOVED, stored=STAYED.stored),
    ):
        assert Rule.HISTORY in rules(ADA, change, rows=(wrong,))


def test_an_entry_that_is_lost_or_doubled_is_a_violation() -> None:
    """Each acknowledged change has one entry, and each entry somebody who asked for it."""
    assert Rule.LINEARIZABLE in rules(ADA, moved("Ada", "b", 2, 3), rows=(STAYED,))
    there_and_back = stored("Ada", "booked a", "moved b m", "moved a n")
    assert Rule.LINEARIZABLE in rules(ADA, moved("Ada", "b", 2, 3), rows=(there_and_back,))


def test_two_bookings_cannot_swap() -> None:
    """Each waits for what the other has: both are refused, and both accepted is a violation."""
    ada, bob = moved("Ada", "b", 2, 5), moved("Bob", "a", 2, 5, "n")
    rows = STAYED, stored("Bob", "booked b")
    assert rules(ADA, BOB, *(turned_down(each, BOOKED) for each in (ada, bob)), rows=rows) == set()
    swapped = MOVED, stored("Bob", "booked b", "moved a n")
    assert Rule.LINEARIZABLE in rules(ADA, BOB, ada, bob, rows=swapped)


def test_a_refusal_after_a_lost_answer_is_final() -> None:
    """Who heard nothing by the deadline, and then 409, is not booked or moved later by the first attempt."""
    first = replace(of("a", lost("Bob", 2)), deadline=3)
    told, bob = of("a", refused("Bob", 4, 5)), stored("Bob", "booked a")
    freed = ADA, cancelled("Ada", 6, 7)
    assert rules(*freed, first, told, rows=(GONE,)) == set()
    assert Rule.KNOWN_OUTCOME in rules(*freed, first, told, rows=(GONE, bob))
    again = of("a", booked("Bob", 8, 9))
    assert rules(*freed, first, told, again, rows=(GONE, bob)) == set()
    assert rules(*freed, replace(first, deadline=4.5), told, rows=(GONE, bob)) == set()

    attempt = replace(unanswered(moved("Bob", "a", 2, 3)), deadline=3)
    late = stored("Bob", "booked b", "moved a m")
    refusal = turned_down(moved("Bob", "a", 4, 5), BOOKED)
    assert Rule.LINEARIZABLE in rules(*freed, BOB, attempt, refusal, rows=(GONE, late))
    assert rules(*freed, BOB, attempt, refusal, rows=(GONE, stored("Bob", "booked b"))) == set()


def test_a_change_is_started_in_time() -> None:
    """An entry from before its request, or after the deadline of every attempt, is a violation."""
    move = replace(moved("Ada", "b", 2, 9), deadline=3)
    for at, broken in ((2.5, set()), (1.0, {Rule.IN_TIME}), (5.0, {Rule.IN_TIME})):
        late = replace(MOVED.history[1], at=at)
        assert rules(ADA, move, rows=(replace(MOVED, history=(MOVED.history[0], late)),)) == broken


def window(kind: str, resource: str, invoked: float, **said: object) -> Operation:
    query = of(resource, asked("list", "", invoked, invoked + 1))
    return replace(query, kind=kind, until="2031-05-04T10:00:00.000Z", **said)  # type: ignore[arg-type]


def test_a_list_names_all_that_lies_there_and_nothing_else() -> None:
    """What was booked before is listed, unless it was moved away or cancelled; and where it lies."""
    listed = ("ada", telling(ADA, "a").told)
    assert rules(ADA, window("list", "a", 2, listed=(listed,)), rows=(STAYED,)) == set()
    assert rules(ADA, window("list", "b", 2), rows=(STAYED,)) == set()
    assert Rule.LINEARIZABLE in rules(ADA, window("list", "a", 2), rows=(STAYED,))
    assert rules(ADA, cancelled("Ada", 1, 1.5), window("list", "a", 2), rows=(GONE,)) == set()
    late = window("list", "a", 4, listed=(listed,))
    assert Rule.LINEARIZABLE in rules(ADA, moved("Ada", "b", 2, 3), late, rows=(MOVED,))
    assert rules(ADA, moved("Ada", "b", 2, 5), window("list", "a", 3), rows=(MOVED,)) == set()


def test_taken_slots_are_told() -> None:
    """What is booked or held all the while is told, and what is free is not told as booked."""
    slot = ADA.slot
    booked_then = window("slots", "a", 2, taken=((slot, "booked"),))
    assert rules(ADA, booked_then, rows=(STAYED,)) == set()
    assert Rule.LINEARIZABLE in rules(ADA, window("slots", "a", 2), rows=(STAYED,))
    assert Rule.LINEARIZABLE in rules(ADA, cancelled("Ada", 1, 1.5), booked_then, rows=(GONE,))
    hold = of("a", held("Bob", 0, 1, 10))
    assert rules(hold, window("slots", "a", 2, taken=((slot, "held"),))) == set()
    assert rules(hold, window("slots", "a", 2)) == {Rule.HOLD}
    assert rules(hold, window("slots", "a", 20)) == set()


def test_a_release_ends_a_hold() -> None:
    """After it the hold binds nobody; a hold that stands is found, and one that nobody placed is not."""
    hold = of("a", held("Ada", 0, 1, 10))
    release = replace(hold, kind="release", invoked=2, returned=3, expires=None)
    bob = of("a", booked("Bob", 4, 5))
    rows = (stored("Bob", "booked a"),)
    assert rules(hold, release, bob, rows=rows) == set()
    assert rules(hold, bob, rows=rows) == {Rule.HOLD}
    assert rules(hold, turned_down(release, "No such hold", 404)) == {Rule.HOLD}
    assert rules(release) == {Rule.HOLD}
    assert (
        rules(hold, release, turned_down(replace(release, invoked=4, returned=5), "No such hold", 404))
        == set()
    )


def test_a_move_that_failed_uses_up_no_hold() -> None:
    """A hold is its patient's until a booking or a move of that patient takes it."""
    hold, bob = of("b", held("Ada", 1, 1.5, 10)), of("b", booked("Bob", 6, 7))
    gone = (GONE, stored("Bob", "booked b"))
    rounds_without_progress = turned_down(moved("Ada", "bc", 2, 3), BOOKED)
    zoe = of("c", booked("Zoe", 0, 1)), stored("Zoe", "booked c")
    freed = cancelled("Ada", 4, 5)
    assert rules(ADA, zoe[0], hold, rounds_without_progress, freed, bob, rows=(*gone, zoe[1])) == {Rule.HOLD}
    there = stored("Ada", "booked a", "moved b m", "cancelled b")
    assert rules(ADA, hold, moved("Ada", "b", 2, 3), freed, bob, rows=(there, gone[1])) == set()


def test_a_hold_is_honoured_by_moves() -> None:
    """A stranger's booking does not move to what is held; `held` is true of a move only then."""
    hold, move = of("b", held("Bob", 1, 1.5, 10)), telling(moved("Ada", "b", 2, 3), "b")
    assert rules(ADA, hold, move, rows=(MOVED,)) == {Rule.HOLD}
    assert rules(ADA, hold, turned_down(replace(move, told=None), HELD), rows=(STAYED,)) == set()
    assert rules(ADA, turned_down(replace(move, told=None), HELD), rows=(STAYED,)) == {Rule.TRUE_REFUSAL}
    freed = cancelled("Ada", 1, 1.2)
    assert (
        rules(of("b", booked("Ada", 0, 0.5)), freed, hold, rows=(stored("Ada", "booked b", "cancelled b"),))
        == set()
    )


def test_the_story_of_a_violation_tells_where_bookings_lie() -> None:
    """A message shows what was asked, what was told, and the entries that contradict it."""
    verdict = check(record(ADA, telling(moved("Ada", "b", 2, 3), "b"), rows=(STAYED,)))
    [shown] = [each for each in verdict.violations if each.rule is Rule.LINEARIZABLE]
    assert [each.kind for each in shown.operations] == ["book", "move", "history"]
    assert "; 1 booked a 2031-05-04T09:00:00.000Z" in str(shown)


def test_a_change_of_one_version_agrees_with_itself_only() -> None:
    """Two entries agree where all that is known of both is equal."""
    [one] = entries("booked a")
    assert one.agrees(Change("booked", one.place, 1, "m"))
    assert not replace(one, move_id="n").agrees(replace(one, move_id="m"))
