"""The checker knows the effects of amendments: an attendance that is noted, and nothing else."""

from tests.proof.checker import Rule
from tests.proof.checker.builders import amended, booked, cancelled, moved, of, read, stored, telling
from tests.unit.lives import ADA, GONE, STAYED, rules, with_refusal, without_answer

NOTED = stored("Ada", "booked a", "attendance a missed")
AMEND = amended("Ada", "missed", 2, 3)


def test_amended_booking_keeps_its_claims_and_can_be_moved_and_cancelled() -> None:
    """An amendment frees nothing; moves and cancels follow it."""
    assert rules(ADA, AMEND, rows=(NOTED,)) == set()
    rival = of("a", booked("Bob", 4, 5))
    assert Rule.ONE_WINNER in rules(ADA, AMEND, rival, rows=(NOTED, stored("Bob", "booked a")))
    life = stored("Ada", "booked a", "attendance a missed", "moved b m", "cancelled b")
    assert rules(ADA, AMEND, moved("Ada", "b", 4, 5), cancelled("Ada", 6, 7), rows=(life,)) == set()


def test_acknowledged_amendment_is_durable_and_made_once() -> None:
    """A row without it is a violation, so is a change without an amendment, and one made twice."""
    assert Rule.LINEARIZABLE in rules(ADA, AMEND, rows=(STAYED,))
    assert Rule.LINEARIZABLE in rules(ADA, rows=(NOTED,))
    assert rules(ADA, without_answer(AMEND), rows=(STAYED,)) == set()
    assert rules(ADA, without_answer(AMEND), rows=(NOTED,)) == set()
    arrived = amended("Ada", "arrived", 4, 5)
    both = stored("Ada", "booked a", "attendance a missed", "attendance a arrived")
    assert rules(ADA, AMEND, arrived, rows=(both,)) == set()
    undone = stored("Ada", "booked a", "attendance a missed", "attendance a arrived", "attendance a missed")
    assert Rule.LINEARIZABLE in rules(ADA, without_answer(AMEND), arrived, rows=(undone,))


def test_amendment_to_what_is_noted_is_no_change() -> None:
    """It adds no entry, and `expected` is what every booking begins with."""
    assert rules(ADA, amended("Ada", "expected", 2, 3), rows=(STAYED,)) == set()
    assert rules(ADA, AMEND, amended("Ada", "missed", 4, 5), rows=(NOTED,)) == set()
    again = stored("Ada", "booked a", "attendance a missed", "attendance a missed")
    assert Rule.LINEARIZABLE in rules(ADA, AMEND, amended("Ada", "missed", 4, 5), rows=(again,))


def test_read_shows_the_attendance_that_was_noted_last() -> None:
    """A read after the amendment shows it, and a read before it does not."""
    after, before = read("ada", 4, 5), read("ada", 1.1, 1.2)
    assert rules(ADA, AMEND, telling(after, "a", attendance="missed"), rows=(NOTED,)) == set()
    assert Rule.LINEARIZABLE in rules(ADA, AMEND, telling(after, "a"), rows=(NOTED,))
    assert rules(ADA, telling(before, "a"), AMEND, rows=(NOTED,)) == set()
    assert Rule.LINEARIZABLE in rules(ADA, telling(before, "a", attendance="missed"), AMEND, rows=(NOTED,))


def test_cancelled_booking_is_not_amended() -> None:
    """A 200 after the cancel is a violation; the 409 is true."""
    cancel, late = cancelled("Ada", 1.1, 1.2), amended("Ada", "missed", 2, 3)
    assert Rule.LINEARIZABLE in rules(ADA, cancel, late, rows=(GONE,))
    assert rules(ADA, cancel, with_refusal(late, "Appointment is cancelled"), rows=(GONE,)) == set()
    assert Rule.LINEARIZABLE in rules(ADA, with_refusal(AMEND, "Appointment is cancelled"), rows=(STAYED,))
