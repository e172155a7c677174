"""The checker knows the effects of cancels, moves and releases."""

from dataclasses import replace

from tests.proof.checker import Rule
from tests.proof.checker.builders import (
    booked,
    cancelled,
    held,
    lost,
    moved,
    of,
    read,
    refused,
    stored,
    telling,
)
from tests.proof.checker.model import BOOKED, CANCELLED, HELD
from tests.unit.lives import ADA, BOB, GONE, MOVED, STAYED, rules, with_refusal, without_answer


def test_cancelled_slot_can_be_booked_again() -> None:
    """Another booking gets the claims after their cancel, and not before."""
    bob = stored("Bob", "booked a")
    rebooked = of("a", booked("Bob", 4, 5))
    assert rules(ADA, cancelled("Ada", 2, 3), rebooked, rows=(GONE, bob)) == set()
    assert Rule.LINEARIZABLE in rules(ADA, cancelled("Ada", 6, 7), rebooked, rows=(GONE, bob))


def test_freed_slot_is_free_at_once() -> None:
    """A request after the answer to a cancel or a move is not refused for the freed claims."""
    refusal = of("a", refused("Bob", 4, 5))
    assert rules(ADA, cancelled("Ada", 2, 3), refusal, rows=(GONE,)) == {Rule.TRUE_REFUSAL}
    assert rules(ADA, moved("Ada", "b", 2, 3), refusal, rows=(MOVED,)) == {Rule.TRUE_REFUSAL}
    beside = replace(refusal, invoked=2.9)
    assert rules(ADA, cancelled("Ada", 2, 3), beside, rows=(GONE,)) == set()
    assert rules(ADA, moved("Ada", "b", 2, 3), beside, rows=(MOVED,)) == set()


def test_cancel_with_a_lost_answer_may_have_freed_the_slot() -> None:
    """A later booking of the slot proves that the lost cancel took effect, and the row must agree."""
    lost_cancel, rebooked = cancelled("Ada", 2, None), of("a", booked("Bob", 4, 5))
    bob = stored("Bob", "booked a")
    assert rules(ADA, lost_cancel, rebooked, rows=(GONE, bob)) == set()
    assert rules(ADA, lost_cancel, rows=(STAYED,)) == rules(ADA, lost_cancel, rows=(GONE,)) == set()
    assert rules(ADA, lost_cancel, rebooked, rows=(STAYED, bob)) == {Rule.LINEARIZABLE, Rule.ONE_WINNER}


def test_cancelled_booking_stays_cancelled() -> None:
    """Every later read and the row show the booking as cancelled."""
    cancel = telling(cancelled("Ada", 2, 3), "a", "cancelled")
    assert rules(ADA, cancel, rows=(GONE,)) == set()
    assert Rule.LINEARIZABLE in rules(ADA, cancel, rows=(STAYED,))
    assert Rule.LINEARIZABLE in rules(ADA, cancel, telling(read("ada", 4, 5), "a"), rows=(GONE,))
    assert Rule.DURABLE in rules(ADA, rows=(GONE,))


def test_key_of_a_cancelled_booking_never_books_again() -> None:
    """A retry gets 409 with the cancelled booking; 201 or another refusal is a violation."""
    replay = of("a", booked("Ada", 4, 5, replayed=True))
    before = ADA, cancelled("Ada", 2, 3)
    refusal = telling(with_refusal(replace(replay, replayed=False), CANCELLED), "a", "cancelled")
    assert rules(*before, refusal, rows=(GONE,)) == set()
    assert Rule.LINEARIZABLE in rules(ADA, refusal, rows=(STAYED,))
    assert Rule.LINEARIZABLE in rules(
        ADA, replace(refusal, invoked=1.5, returned=1.8), cancelled("Ada", 2, 3), rows=(GONE,)
    )
    assert Rule.DURABLE in rules(*before, refusal)
    assert Rule.ONE_KEY in rules(*before, replace(refusal, appointment_id="other"), rows=(GONE,))
    for status in ("booked", "cancelled"):
        assert Rule.LINEARIZABLE in rules(*before, telling(replay, "a", status), rows=(GONE,))
    assert Rule.LINEARIZABLE in rules(*before, replace(replay, replayed=False), rows=(GONE,))
    assert rules(*before, of("a", refused("Ada", 4, 5)), rows=(GONE,)) == {Rule.TRUE_REFUSAL}
    another = replace(replay, appointment_id="other", replayed=False)
    assert Rule.ONE_KEY in rules(*before, another, rows=(GONE,))


def test_move_is_atomic() -> None:
    """A booking is at its old place or at its new place: never at both, and never at neither."""
    move = moved("Ada", "b", 2, 5)
    both = of("a", booked("Cyd", 3, 3.2)), of("b", booked("Dan", 3.4, 3.6))
    rows = (MOVED, stored("Cyd", "booked a"), stored("Dan", "booked b"))
    assert Rule.LINEARIZABLE in rules(ADA, move, *both, rows=rows)

    twice = of("b", refused("Cyd", 3, 3.2)), of("a", refused("Dan", 3.4, 3.6))
    assert rules(ADA, move, *twice, rows=(MOVED,)) & {Rule.LINEARIZABLE, Rule.TRUE_REFUSAL}
    assert rules(ADA, move, *(replace(each, invoked=2.1) for each in twice), rows=(MOVED,)) == set()


def test_refused_move_keeps_the_old_place() -> None:
    """A move to a booked claim is refused, and the booking keeps all of its claims."""
    refusal = with_refusal(moved("Ada", "ab", 2, 3), BOOKED)
    bob = stored("Bob", "booked b")
    assert rules(ADA, BOB, refusal, rows=(STAYED, bob)) == set()
    assert rules(ADA, refusal, rows=(STAYED,)) == {Rule.TRUE_REFUSAL}
    assert rules(ADA, with_refusal(moved("Ada", "a", 2, 3), BOOKED), rows=(STAYED,)) == {Rule.TRUE_REFUSAL}
    assert Rule.LINEARIZABLE in rules(ADA, BOB, refusal, rows=(stored("Ada", "booked a", "moved ab m"), bob))


def test_move_of_a_cancelled_booking_is_refused() -> None:
    """`Appointment is cancelled` refuses every move of a cancelled booking, and no other move."""
    refusal = with_refusal(moved("Ada", "b", 4, 5), CANCELLED)
    assert rules(ADA, cancelled("Ada", 2, 3), refusal, rows=(GONE,)) == set()
    assert Rule.LINEARIZABLE in rules(ADA, refusal, rows=(STAYED,))
    assert Rule.LINEARIZABLE in rules(ADA, cancelled("Ada", 2, 3), moved("Ada", "b", 4, 5), rows=(GONE,))


def test_move_takes_effect_once() -> None:
    """A retry gets 200 with the booking as it stands, and does not undo a later move."""
    on, retry = moved("Ada", "c", 4, 5, "n"), moved("Ada", "b", 6, 7)
    twice = stored("Ada", "booked a", "moved b m", "moved c n")
    before = ADA, moved("Ada", "b", 2, 3), on
    assert rules(*before, telling(retry, "c"), rows=(twice,)) == set()
    back = stored("Ada", "booked a", "moved b m", "moved c n", "moved b m")
    assert Rule.HISTORY in rules(*before, telling(retry, "b"), rows=(back,))
    assert Rule.LINEARIZABLE in rules(*before, telling(retry, "b"), rows=(twice,))


def test_two_bookings_cannot_swap_their_slots() -> None:
    """Moves to each other's slot are both refused, and two accepted ones are a violation."""
    ada, bob = moved("Ada", "b", 2, 5), moved("Bob", "a", 2, 5, "n")
    rows = STAYED, stored("Bob", "booked b")
    assert rules(ADA, BOB, *(with_refusal(each, BOOKED) for each in (ada, bob)), rows=rows) == set()
    swapped = MOVED, stored("Bob", "booked b", "moved a n")
    assert Rule.LINEARIZABLE in rules(ADA, BOB, ada, bob, rows=swapped)


def test_refusal_after_a_lost_answer_is_final() -> None:
    """After a lost answer and then a 409, the first attempt books or moves nothing."""
    first = replace(of("a", lost("Bob", 2)), deadline=3)
    refusal, bob = of("a", refused("Bob", 4, 5)), stored("Bob", "booked a")
    freed = ADA, cancelled("Ada", 6, 7)
    assert rules(*freed, first, refusal, rows=(GONE,)) == set()
    assert Rule.KNOWN_OUTCOME in rules(*freed, first, refusal, rows=(GONE, bob))
    rebooked = of("a", booked("Bob", 8, 9))
    assert rules(*freed, first, refusal, rebooked, rows=(GONE, bob)) == set()
    assert rules(*freed, replace(first, deadline=4.5), refusal, rows=(GONE, bob)) == set()

    attempt = replace(without_answer(moved("Bob", "a", 2, 3)), deadline=3)
    late = stored("Bob", "booked b", "moved a m")
    refused_move = with_refusal(moved("Bob", "a", 4, 5), BOOKED)
    assert Rule.LINEARIZABLE in rules(*freed, BOB, attempt, refused_move, rows=(GONE, late))
    assert rules(*freed, BOB, attempt, refused_move, rows=(GONE, stored("Bob", "booked b"))) == set()


def test_change_before_request_or_after_every_deadline_is_a_violation() -> None:
    """A history entry lies between the request and the last deadline of its attempts."""
    move = replace(moved("Ada", "b", 2, 9), deadline=3)
    for at, broken in ((2.5, set()), (1.0, {Rule.IN_TIME}), (5.0, {Rule.IN_TIME})):
        late = replace(MOVED.history[1], at=at)
        assert rules(ADA, move, rows=(replace(MOVED, history=(MOVED.history[0], late)),)) == broken


def test_release_ends_a_hold() -> None:
    """A released hold blocks no booking; a release finds an existing hold, and no other."""
    hold = of("a", held("Ada", 0, 1, 10))
    release = replace(hold, kind="release", invoked=2, returned=3, expires=None)
    bob = of("a", booked("Bob", 4, 5))
    rows = (stored("Bob", "booked a"),)
    assert rules(hold, release, bob, rows=rows) == set()
    assert rules(hold, bob, rows=rows) == {Rule.HOLD}
    assert rules(hold, with_refusal(release, "No such hold", 404)) == {Rule.HOLD}
    assert rules(release) == {Rule.HOLD}
    assert (
        rules(hold, release, with_refusal(replace(release, invoked=4, returned=5), "No such hold", 404))
        == set()
    )


def test_failed_move_uses_up_no_hold() -> None:
    """A hold stays its patient's until a booking or a move of that patient uses it."""
    hold, bob = of("b", held("Ada", 1, 1.5, 10)), of("b", booked("Bob", 6, 7))
    gone = (GONE, stored("Bob", "booked b"))
    refused_move = with_refusal(moved("Ada", "bc", 2, 3), BOOKED)
    zoe = of("c", booked("Zoe", 0, 1)), stored("Zoe", "booked c")
    freed = cancelled("Ada", 4, 5)
    assert rules(ADA, zoe[0], hold, refused_move, freed, bob, rows=(*gone, zoe[1])) == {Rule.HOLD}
    there = stored("Ada", "booked a", "moved b m", "cancelled b")
    assert rules(ADA, hold, moved("Ada", "b", 2, 3), freed, bob, rows=(there, gone[1])) == set()


def test_move_honours_a_hold() -> None:
    """A stranger's booking does not move to a held slot, and `held` is untrue of a move without a hold."""
    hold, move = of("b", held("Bob", 1, 1.5, 10)), telling(moved("Ada", "b", 2, 3), "b")
    assert rules(ADA, hold, move, rows=(MOVED,)) == {Rule.HOLD}
    assert rules(ADA, hold, with_refusal(replace(move, told=None), HELD), rows=(STAYED,)) == set()
    assert rules(ADA, with_refusal(replace(move, told=None), HELD), rows=(STAYED,)) == {Rule.TRUE_REFUSAL}
    freed = cancelled("Ada", 1, 1.2)
    assert (
        rules(of("b", booked("Ada", 0, 0.5)), freed, hold, rows=(stored("Ada", "booked b", "cancelled b"),))
        == set()
    )
