"""The judge of the fault runs knows which earlier attempts a later answer keeps out."""

from dataclasses import replace

import pytest

from tests.proof.checker import Rule, check
from tests.proof.checker.builders import (
    asked,
    booked,
    cancelled,
    held,
    lost,
    moved,
    of,
    record,
    refused,
    stored,
    telling,
)
from tests.proof.checker.model import BOOKED, CANCELLED, HELD
from tests.proof.faults.history import Fault, Operation, Row

ADA, GONE = of("a", booked("Ada", 0, 1)), stored("Ada", "booked a", "cancelled a")
FREED = ADA, cancelled("Ada", 6, 7)
BOB = stored("Bob", "booked a")


def rules(*operations: Operation, rows: tuple[Row, ...] = (), faults: tuple[Fault, ...] = ()) -> set[Rule]:
    history = replace(record(*operations, rows=rows), faults=faults)
    return {violation.rule for violation in check(history).violations}


def at(moment: float | None, operation: Operation, via: str = "nats") -> Operation:
    """The operation, asked at a moment that the service is told."""
    return replace(operation, asked=moment, via=via)  # type: ignore[arg-type]


def turned_down(operation: Operation, error: str, status: int = 409) -> Operation:
    return replace(operation, outcome="refused", error=error, status=status, told=None)


def unanswered(operation: Operation) -> Operation:
    return replace(operation, outcome="unknown", status=None, told=None)


GIVEN_UP = at(2, replace(of("a", lost("Bob", 2)), returned=2.5))
TOLD = at(3, of("a", refused("Bob", 3, 4)))


def test_booking_by_attempt_asked_before_the_refused_one_is_a_violation() -> None:
    """A caller gives up, repeats and is told 409; the first attempt then books: no promise allows that."""
    assert rules(*FREED, GIVEN_UP, TOLD, rows=(GONE,)) == set()
    assert Rule.FINAL in rules(*FREED, GIVEN_UP, TOLD, rows=(GONE, BOB))
    held_then = at(3, of("a", refused("Bob", 3, 4, HELD)))
    assert Rule.FINAL in rules(*FREED, GIVEN_UP, held_then, rows=(GONE, BOB))


def test_late_booking_is_shown_with_the_attempt_and_the_refusal() -> None:
    """The message has the attempt that booked and the refusal that came before it."""
    verdict = check(record(*FREED, GIVEN_UP, TOLD, rows=(GONE, BOB)))
    [shown] = [each for each in verdict.violations if each.rule is Rule.FINAL]
    assert [(each.outcome, each.asked) for each in shown.operations] == [("unknown", 2), ("refused", 3)]


def test_replay_after_a_refusal_is_of_no_earlier_attempt() -> None:
    """A third request that is answered with a replay on NATS was not the one that booked."""
    third = of("a", booked("Bob", 8, 9))
    assert rules(*FREED, GIVEN_UP, TOLD, at(8, third), rows=(GONE, BOB)) == set()
    assert Rule.FINAL in rules(*FREED, GIVEN_UP, TOLD, at(8, replace(third, replayed=True)), rows=(GONE, BOB))


@pytest.mark.parametrize(
    ("first", "then"),
    [(None, 3), (2, None), (3.5, 3)],
    ids=["first not told", "refused not told", "asked later"],
)
def test_attempts_without_an_order_are_not_judged(first: float | None, then: float | None) -> None:
    """An attempt is kept out only where it is known to have been asked before the refused one."""
    assert rules(*FREED, at(first, GIVEN_UP), at(then, TOLD), rows=(GONE, BOB)) == set()


@pytest.mark.parametrize(
    ("kind", "began", "judged"),
    [("gateway_pause", 2.2, False), ("gateway_pause", 4.5, True), ("worker_clock", 3.5, False)],
)
def test_gateway_that_was_paused_read_the_request_late(kind: str, began: float, judged: bool) -> None:
    """What a paused gateway was sent, or a worker with a wrong clock refused, has no known order."""
    faults = (Fault(kind, began, began + 1),)
    both = at(2, GIVEN_UP, "http"), at(3, TOLD, "http")
    assert (Rule.FINAL in rules(*FREED, *both, rows=(GONE, BOB), faults=faults)) == judged


def test_move_by_an_attempt_asked_before_the_refused_one_is_a_violation() -> None:
    """A move that was refused is not carried out by an earlier attempt with its id."""
    bob, first = of("b", booked("Bob", 0, 1)), at(2, unanswered(moved("Bob", "a", 2, 2.5)))
    told = at(3, turned_down(moved("Bob", "a", 3, 4), BOOKED))
    there, here = stored("Bob", "booked b", "moved a m"), stored("Bob", "booked b")
    assert rules(*FREED, bob, first, told, rows=(GONE, here)) == set()
    assert Rule.LINEARIZABLE in rules(*FREED, bob, first, told, rows=(GONE, there))


@pytest.mark.parametrize("answer", ["done", "refused"])
def test_moves_of_a_booking_are_carried_out_in_the_order_asked(answer: str) -> None:
    """A lost move to b, then one to c that is answered: the booking does not go to b after that."""
    first, then = at(2, unanswered(moved("Ada", "b", 2, 2.5))), at(3, moved("Ada", "c", 3, 4, "n"))
    others: tuple[Operation, ...] = (then,)
    rows: tuple[Row, ...] = ()
    before: tuple[str, ...] = "moved b m", "moved c n"
    after: tuple[str, ...] = "moved c n", "moved b m"
    if answer == "refused":
        others = of("c", booked("Eve", 0, 1)), turned_down(then, BOOKED)
        rows = (stored("Eve", "booked c"),)
        before = after = ("moved b m",)
    still = telling(asked("get", "", 4.5, 5, id="ada"), "c" if answer == "done" else "a")
    in_order = (stored("Ada", "booked a", *before), *rows)
    out_of_order = (stored("Ada", "booked a", *after), *rows)
    assert rules(ADA, first, *others, rows=in_order) == set()
    assert Rule.LINEARIZABLE in rules(ADA, first, *others, still, rows=out_of_order)
    assert rules(ADA, at(None, first), *others, still, rows=out_of_order) == set()


def test_repeat_of_a_done_move_counts_as_asked_when_it_was_asked_first() -> None:
    """A repeat of a done move moves nothing: it keeps no move out that was asked after the first attempt."""
    done, repeat = at(2, moved("Ada", "c", 2, 3, "n")), at(6, moved("Ada", "c", 6, 7, "n"))
    between = at(4, unanswered(moved("Ada", "b", 4, 4.5)))
    rows = (stored("Ada", "booked a", "moved c n", "moved b m"),)
    late = telling(asked("get", "", 8, 9, id="ada"), "c")
    assert rules(ADA, done, between, repeat, late, rows=rows) == set()


def test_move_without_effect_is_remembered() -> None:
    """A move to where the booking is does nothing when it is repeated, though the booking is elsewhere."""
    idle, on, again = moved("Ada", "a", 2, 3), moved("Ada", "b", 4, 5, "n"), moved("Ada", "a", 6, 7)
    stays = (stored("Ada", "booked a", "moved b n"),)
    assert rules(ADA, idle, on, telling(again, "b"), rows=stays) == set()
    back = (stored("Ada", "booked a", "moved b n", "moved a m"),)
    assert Rule.LINEARIZABLE in rules(ADA, idle, on, telling(again, "a"), rows=back)


def test_move_of_a_cancelled_booking_is_refused_with_it() -> None:
    """A move that was done, then cancelled by somebody, is told 409 with the booking: 200 would be untrue."""
    done, gone = moved("Ada", "b", 2, 3), cancelled("Ada", 4, 5)
    rows = (stored("Ada", "booked a", "moved b m", "cancelled b"),)
    again = moved("Ada", "b", 6, 7)
    told = telling(turned_down(again, CANCELLED), "b", "cancelled")
    assert rules(ADA, done, gone, told, rows=rows) == set()
    assert Rule.LINEARIZABLE in rules(ADA, done, gone, telling(told, "a", "cancelled"), rows=rows)
    for status in ("booked", "cancelled"):
        assert Rule.LINEARIZABLE in rules(ADA, done, gone, telling(again, "b", status), rows=rows)


def test_gateway_may_have_moved_what_was_cancelled_then() -> None:
    """A move by HTTP whose first reply was lost is told of the cancel: its own entry is in the history."""
    told = turned_down(moved("Ada", "b", 2, 6), CANCELLED)
    rows = (stored("Ada", "booked a", "moved b m", "cancelled b"),)
    assert rules(ADA, told, cancelled("Ada", 3, 4), rows=rows) == set()
    assert rules(ADA, told, cancelled("Ada", 3, 4), rows=(GONE,)) == set()
    assert Rule.LINEARIZABLE in rules(ADA, at(2, told), cancelled("Ada", 3, 4), rows=rows)


def test_move_id_is_for_one_move() -> None:
    """A move id of a move that was done is refused for another target with 422, and only then."""
    done, other = moved("Ada", "b", 2, 3), moved("Ada", "c", 4, 5)
    rows = (stored("Ada", "booked a", "moved b m"),)
    reused = turned_down(other, "Idempotency-Key was used for a different request", 422)
    assert rules(ADA, done, reused, rows=rows) == set()
    assert rules(ADA, reused, rows=(stored("Ada", "booked a"),)) == {Rule.ONE_KEY}
    assert Rule.ONE_KEY in rules(ADA, done, turned_down(other, BOOKED), rows=rows)
    again = replace(done, invoked=4, returned=5)
    assert Rule.ONE_KEY in rules(ADA, done, turned_down(again, "No", 422), rows=rows)


HOLD = at(0, of("a", replace(held("Ada", 0, 0.5, 0), outcome="unknown", status=None, expires=None)))
RELEASE = at(1, replace(HOLD, kind="release", invoked=1, returned=2, outcome="ok", status=200))
HELD_LATE = of("a", refused("Bob", 4, 5, HELD))


def test_hold_asked_before_a_release_stands_no_more() -> None:
    """A lost hold, then a release of its token: nobody is told afterwards that the slot is held."""
    missing = turned_down(RELEASE, "No such hold", 404)
    assert rules(HOLD, HELD_LATE) == set()
    for release in (RELEASE, missing):
        assert rules(HOLD, release, HELD_LATE) == {Rule.TRUE_REFUSAL}
        assert rules(HOLD, release, replace(HELD_LATE, invoked=1.5)) == set()
    assert rules(at(None, HOLD), RELEASE, HELD_LATE) == set()
    assert rules(at(1.5, HOLD), RELEASE, HELD_LATE) == set()
    assert rules(HOLD, RELEASE, HELD_LATE, faults=(Fault("redis_flush", 3, 3),)) == set()


def test_granted_hold_ends_when_it_said() -> None:
    """After its end a hold is in nobody's way: neither for a refusal, nor in what is listed as taken."""
    hold = of("a", held("Ada", 0, 1, 3))
    assert rules(hold, replace(HELD_LATE, invoked=3.2)) == set()
    assert rules(hold, HELD_LATE) == {Rule.TRUE_REFUSAL}
    listed = replace(of("a", asked("slots", "", 4, 5)), until="2031-05-04T10:00:00.000Z")
    listed = replace(listed, taken=((listed.slot, "held"),))
    assert rules(replace(hold, expires=6), listed) == set()
    assert rules(hold, listed) == {Rule.HOLD}


def earlier(operation: Operation) -> Operation:
    told = replace(operation, outcome="not_executed", status=503, error="A later request", told=None)
    return replace(
        told, error_type="AskedEarlier", appointment_id=None if operation.kind == "book" else "ada"
    )


def test_asked_earlier_needs_a_later_request() -> None:
    """`AskedEarlier` is true where another request for the same may have been answered, and not otherwise."""
    late = earlier(at(2, of("a", booked("Bob", 2, 5))))
    assert rules(ADA, TOLD, late, rows=(stored("Ada", "booked a"),)) == set()
    assert rules(ADA, late, rows=(stored("Ada", "booked a"),)) == {Rule.TRUE_REFUSAL}
    long_ago = at(0.5, of("a", refused("Bob", 0.5, 1.5)))
    assert rules(ADA, long_ago, late, rows=(stored("Ada", "booked a"),)) == {Rule.TRUE_REFUSAL}
    assert rules(ADA, replace(late, via="http"), rows=(stored("Ada", "booked a"),)) == set()


def test_asked_earlier_means_not_executed() -> None:
    """A booking that was told so is not stored, and a move that was told so did not take place."""
    late = earlier(at(2, of("a", booked("Bob", 2, 5))))
    assert rules(*FREED, TOLD, late, rows=(GONE, BOB)) == {Rule.KNOWN_OUTCOME}
    move, other = earlier(at(2, moved("Ada", "b", 2, 5))), at(3, moved("Ada", "c", 3, 4, "n"))
    assert rules(ADA, move, other, rows=(stored("Ada", "booked a", "moved c n"),)) == set()
    assert Rule.LINEARIZABLE in rules(
        ADA, move, other, rows=(stored("Ada", "booked a", "moved c n", "moved b m"),)
    )
