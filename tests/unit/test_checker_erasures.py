"""The checker knows the effects of erasures: a name that goes, and nothing else."""

from dataclasses import replace

from tests.proof.checker import Rule
from tests.proof.checker.builders import (
    booked,
    cancelled,
    entries,
    erased,
    history,
    moved,
    of,
    read,
    record,
    stored,
    telling,
)
from tests.proof.faults.history import Event, Operation, Row
from tests.unit.lives import ADA, STAYED, rules, with_refusal
from tests.unit.verdicts import broken_rules

NAMELESS = stored("Ada", "booked a", "erased a")
ERASE = erased("Ada", 2, 3)


def test_erased_booking_keeps_its_claims_and_can_be_moved_and_cancelled() -> None:
    """An erasure frees nothing; moves and cancels follow it and come before it."""
    assert rules(ADA, ERASE, rows=(NAMELESS,)) == set()
    rival = of("a", booked("Bob", 4, 5))
    assert Rule.ONE_WINNER in rules(ADA, ERASE, rival, rows=(NAMELESS, stored("Bob", "booked a")))
    life = stored("Ada", "booked a", "erased a", "moved b m", "cancelled b")
    assert rules(ADA, ERASE, moved("Ada", "b", 4, 5), cancelled("Ada", 6, 7), rows=(life,)) == set()
    gone = stored("Ada", "booked a", "cancelled a", "erased a")
    assert rules(ADA, cancelled("Ada", 1.1, 1.2), ERASE, rows=(gone,)) == set()


def test_name_is_shown_until_it_is_erased_and_never_after() -> None:
    """A read after the erasure shows no name, and a read before it shows the name."""
    after, before = read("ada", 4, 5), read("ada", 1.1, 1.2)
    assert rules(ADA, ERASE, telling(after, "a", named=False), rows=(NAMELESS,)) == set()
    assert rules(ADA, telling(before, "a"), ERASE, rows=(NAMELESS,)) == set()
    assert Rule.LINEARIZABLE in rules(ADA, ERASE, telling(after, "a"), rows=(NAMELESS,))
    assert Rule.LINEARIZABLE in rules(ADA, telling(before, "a", named=False), ERASE, rows=(NAMELESS,))
    during = replace(after, invoked=2.5, returned=2.6)
    for named in (True, False):
        assert rules(ADA, ERASE, telling(during, "a", named=named), rows=(NAMELESS,)) == set()


def test_acknowledged_erasure_is_durable() -> None:
    """A row that keeps its name is a violation, and so is a name that is gone without an erasure."""
    assert Rule.LINEARIZABLE in rules(ADA, ERASE, rows=(STAYED,))
    assert rules(ADA, replace(ERASE, outcome="unknown", returned=None), rows=(STAYED,)) == set()
    assert Rule.LINEARIZABLE in rules(ADA, rows=(NAMELESS,))
    assert Rule.HISTORY in rules(ADA, ERASE, rows=(replace(NAMELESS, patient="Ada"),))


def test_erasure_is_one_entry_of_the_history() -> None:
    """A second entry, and a change after a cancel that is no erasure, are violations."""
    twice = stored("Ada", "booked a", "erased a", "erased a")
    again = erased("Ada", 4, 5)
    assert Rule.HISTORY in rules(ADA, ERASE, again, rows=(twice,))
    assert rules(ADA, ERASE, again, history("Ada", 6, 7, *NAMELESS.history), rows=(NAMELESS,)) == set()
    late = stored("Ada", "booked a", "cancelled a", "moved b m")
    assert Rule.HISTORY in rules(ADA, cancelled("Ada", 2, 3), moved("Ada", "b", 4, 5), rows=(late,))


def test_key_of_an_erased_booking_answers_every_request() -> None:
    """A retry with any name gets the booking without a name; a 422 for the same request is wrong."""
    replay = telling(replace(of("a", booked("Ada", 4, 5)), replayed=True), "a", named=False)
    other = replace(replay, patient="Bob")
    assert rules(ADA, ERASE, replay, other, rows=(NAMELESS,)) == set()
    assert Rule.ONE_KEY in rules(ADA, ERASE, replace(other, told=None), rows=(NAMELESS,))
    reused = with_refusal(replay, "Idempotency-Key was used for a different request", 422)
    assert Rule.ONE_KEY in rules(ADA, ERASE, replace(reused, told=None), rows=(NAMELESS,))


def test_erasure_has_its_event() -> None:
    """An acknowledged erasure without an event is a violation."""

    def broken(*published: str) -> set[Rule]:
        events = tuple(Event(f"ada:{each.version}", "ada", each) for each in entries(*published))
        return broken_rules(replace(record(*operations, rows=rows), events=events))

    operations: tuple[Operation, ...] = (ADA, ERASE)
    rows: tuple[Row, ...] = (NAMELESS,)
    assert broken("booked a", "erased a") == set()
    assert broken("booked a") == {Rule.EVENT}
