"""The checker knows which earlier attempts a later answer excludes."""

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
from tests.unit.verdicts import broken_rules

ADA, GONE = of("a", booked("Ada", 0, 1)), stored("Ada", "booked a", "cancelled a")
FREED = ADA, cancelled("Ada", 6, 7)
BOB = stored("Bob", "booked a")


def rules(*operations: Operation, rows: tuple[Row, ...] = (), faults: tuple[Fault, ...] = ()) -> set[Rule]:
    return broken_rules(replace(record(*operations, rows=rows), faults=faults))


def sent_at(moment: float | None, operation: Operation, via: str = "nats") -> Operation:
    """Return the operation with the `askedAt` that its caller sends."""
    return replace(operation, asked=moment, via=via)  # type: ignore[arg-type]


def with_refusal(operation: Operation, error: str, status: int = 409) -> Operation:
    return replace(operation, outcome="refused", error=error, status=status, told=None)


def without_answer(operation: Operation) -> Operation:
    return replace(operation, outcome="unknown", status=None, told=None)


ABANDONED = sent_at(2, replace(of("a", lost("Bob", 2)), returned=2.5))
REFUSED = sent_at(3, of("a", refused("Bob", 3, 4)))


def test_booking_by_an_attempt_earlier_than_the_refused_one_is_a_violation() -> None:
    """After a caller's retry was refused with 409, its first attempt must not book."""
    assert rules(*FREED, ABANDONED, REFUSED, rows=(GONE,)) == set()
    assert Rule.FINAL in rules(*FREED, ABANDONED, REFUSED, rows=(GONE, BOB))
    refused_as_held = sent_at(3, of("a", refused("Bob", 3, 4, HELD)))
    assert Rule.FINAL in rules(*FREED, ABANDONED, refused_as_held, rows=(GONE, BOB))


def test_late_booking_is_shown_with_the_attempt_and_the_refusal() -> None:
    """The message shows the attempt that booked and the refusal before it."""
    verdict = check(record(*FREED, ABANDONED, REFUSED, rows=(GONE, BOB)))
    [shown] = [each for each in verdict.violations if each.rule is Rule.FINAL]
    assert [(each.outcome, each.asked) for each in shown.operations] == [("unknown", 2), ("refused", 3)]


def test_replay_after_a_refusal_needs_an_earlier_booking() -> None:
    """A third request over NATS that gets a replay did not make the booking itself."""
    third = of("a", booked("Bob", 8, 9))
    assert rules(*FREED, ABANDONED, REFUSED, sent_at(8, third), rows=(GONE, BOB)) == set()
    assert Rule.FINAL in rules(
        *FREED, ABANDONED, REFUSED, sent_at(8, replace(third, replayed=True)), rows=(GONE, BOB)
    )


@pytest.mark.parametrize(
    ("first", "then"),
    [(None, 3), (2, None), (3.5, 3)],
    ids=["first without time", "refused without time", "asked later"],
)
def test_attempts_of_unknown_order_are_not_judged(first: float | None, then: float | None) -> None:
    """A refusal excludes an attempt only if the attempt is known to have been asked before it."""
    assert rules(*FREED, sent_at(first, ABANDONED), sent_at(then, REFUSED), rows=(GONE, BOB)) == set()


@pytest.mark.parametrize(
    ("kind", "began", "judged"),
    [("gateway_pause", 2.2, False), ("gateway_pause", 4.5, True), ("worker_clock", 3.5, False)],
)
def test_paused_gateway_or_wrong_clock_makes_the_order_unknown(kind: str, began: float, judged: bool) -> None:
    """A request that met a paused gateway, or a worker with a wrong clock, has no known order."""
    faults = (Fault(kind, began, began + 1),)
    both = sent_at(2, ABANDONED, "http"), sent_at(3, REFUSED, "http")
    assert (Rule.FINAL in rules(*FREED, *both, rows=(GONE, BOB), faults=faults)) == judged


def test_move_by_an_attempt_earlier_than_the_refused_one_is_a_violation() -> None:
    """A refused move is not executed by an earlier attempt with its id."""
    bob, first = of("b", booked("Bob", 0, 1)), sent_at(2, without_answer(moved("Bob", "a", 2, 2.5)))
    refusal = sent_at(3, with_refusal(moved("Bob", "a", 3, 4), BOOKED))
    there, here = stored("Bob", "booked b", "moved a m"), stored("Bob", "booked b")
    assert rules(*FREED, bob, first, refusal, rows=(GONE, here)) == set()
    assert Rule.LINEARIZABLE in rules(*FREED, bob, first, refusal, rows=(GONE, there))


@pytest.mark.parametrize("answer", ["done", "refused"])
def test_moves_of_a_booking_take_effect_in_the_order_asked(answer: str) -> None:
    """After the answer to a move to c, an earlier lost move to b takes no effect."""
    first, then = (
        sent_at(2, without_answer(moved("Ada", "b", 2, 2.5))),
        sent_at(3, moved("Ada", "c", 3, 4, "n")),
    )
    others: tuple[Operation, ...] = (then,)
    rows: tuple[Row, ...] = ()
    before: tuple[str, ...] = "moved b m", "moved c n"
    after: tuple[str, ...] = "moved c n", "moved b m"
    if answer == "refused":
        others = of("c", booked("Eve", 0, 1)), with_refusal(then, BOOKED)
        rows = (stored("Eve", "booked c"),)
        before = after = ("moved b m",)
    still = telling(asked("get", "", 4.5, 5, id="ada"), "c" if answer == "done" else "a")
    in_order = (stored("Ada", "booked a", *before), *rows)
    out_of_order = (stored("Ada", "booked a", *after), *rows)
    assert rules(ADA, first, *others, rows=in_order) == set()
    assert Rule.LINEARIZABLE in rules(ADA, first, *others, still, rows=out_of_order)
    assert rules(ADA, sent_at(None, first), *others, still, rows=out_of_order) == set()


def test_retry_of_a_done_move_counts_at_the_time_of_its_first_attempt() -> None:
    """A retry of a done move excludes no move that was asked after the first attempt."""
    done, retry = sent_at(2, moved("Ada", "c", 2, 3, "n")), sent_at(6, moved("Ada", "c", 6, 7, "n"))
    between = sent_at(4, without_answer(moved("Ada", "b", 4, 4.5)))
    rows = (stored("Ada", "booked a", "moved c n", "moved b m"),)
    late = telling(asked("get", "", 8, 9, id="ada"), "c")
    assert rules(ADA, done, between, retry, late, rows=rows) == set()


def test_retry_of_a_move_without_effect_moves_nothing() -> None:
    """A move to the booking's own place does nothing on a retry, even if the booking has moved since."""
    idle, on, again = moved("Ada", "a", 2, 3), moved("Ada", "b", 4, 5, "n"), moved("Ada", "a", 6, 7)
    stays = (stored("Ada", "booked a", "moved b n"),)
    assert rules(ADA, idle, on, telling(again, "b"), rows=stays) == set()
    back = (stored("Ada", "booked a", "moved b n", "moved a m"),)
    assert Rule.LINEARIZABLE in rules(ADA, idle, on, telling(again, "a"), rows=back)


def test_retry_of_a_move_after_a_cancel_is_refused_with_the_appointment() -> None:
    """A retry of a done move gets 409 with the appointment once it is cancelled; 200 would be untrue."""
    done, gone = moved("Ada", "b", 2, 3), cancelled("Ada", 4, 5)
    rows = (stored("Ada", "booked a", "moved b m", "cancelled b"),)
    again = moved("Ada", "b", 6, 7)
    refusal = telling(with_refusal(again, CANCELLED), "b", "cancelled")
    assert rules(ADA, done, gone, refusal, rows=rows) == set()
    assert Rule.LINEARIZABLE in rules(ADA, done, gone, telling(refusal, "a", "cancelled"), rows=rows)
    for status in ("booked", "cancelled"):
        assert Rule.LINEARIZABLE in rules(ADA, done, gone, telling(again, "b", status), rows=rows)


def test_move_over_http_may_be_refused_for_a_cancel_after_its_own_effect() -> None:
    """A gateway that lost its first reply may answer a done move with the later cancel."""
    refusal = with_refusal(moved("Ada", "b", 2, 6), CANCELLED)
    rows = (stored("Ada", "booked a", "moved b m", "cancelled b"),)
    assert rules(ADA, refusal, cancelled("Ada", 3, 4), rows=rows) == set()
    assert rules(ADA, refusal, cancelled("Ada", 3, 4), rows=(GONE,)) == set()
    assert Rule.LINEARIZABLE in rules(ADA, sent_at(2, refusal), cancelled("Ada", 3, 4), rows=rows)


def test_move_id_is_for_one_move() -> None:
    """A used move id with another target gets 422, and 422 needs such a use."""
    done, other = moved("Ada", "b", 2, 3), moved("Ada", "c", 4, 5)
    rows = (stored("Ada", "booked a", "moved b m"),)
    reused = with_refusal(other, "Idempotency-Key was used for a different request", 422)
    assert rules(ADA, done, reused, rows=rows) == set()
    assert rules(ADA, reused, rows=(stored("Ada", "booked a"),)) == {Rule.ONE_KEY}
    assert Rule.ONE_KEY in rules(ADA, done, with_refusal(other, BOOKED), rows=rows)
    again = replace(done, invoked=4, returned=5)
    assert Rule.ONE_KEY in rules(ADA, done, with_refusal(again, "No", 422), rows=rows)


HOLD = sent_at(0, of("a", replace(held("Ada", 0, 0.5, 0), outcome="unknown", status=None, expires=None)))
RELEASE = sent_at(1, replace(HOLD, kind="release", invoked=1, returned=2, outcome="ok", status=200))
HELD_LATE = of("a", refused("Bob", 4, 5, HELD))


def test_hold_asked_before_a_release_blocks_no_booking() -> None:
    """After the release of its token, an earlier lost hold is no reason for a `held` refusal."""
    missing = with_refusal(RELEASE, "No such hold", 404)
    assert rules(HOLD, HELD_LATE) == set()
    for release in (RELEASE, missing):
        assert rules(HOLD, release, HELD_LATE) == {Rule.TRUE_REFUSAL}
        assert rules(HOLD, release, replace(HELD_LATE, invoked=1.5)) == set()
    assert rules(sent_at(None, HOLD), RELEASE, HELD_LATE) == set()
    assert rules(sent_at(1.5, HOLD), RELEASE, HELD_LATE) == set()
    assert rules(HOLD, RELEASE, HELD_LATE, faults=(Fault("redis_flush", 3, 3),)) == set()


def test_granted_hold_ends_at_its_expiry() -> None:
    """After its expiry a hold is neither a reason for a refusal nor listed as taken."""
    hold = of("a", held("Ada", 0, 1, 3))
    assert rules(hold, replace(HELD_LATE, invoked=3.2)) == set()
    assert rules(hold, HELD_LATE) == {Rule.TRUE_REFUSAL}
    listed = replace(of("a", asked("slots", "", 4, 5)), until="2031-05-04T10:00:00.000Z")
    listed = replace(listed, taken=((listed.slot, "held"),))
    assert rules(replace(hold, expires=6), listed) == set()
    assert rules(hold, listed) == {Rule.HOLD}


def asked_earlier(operation: Operation) -> Operation:
    refusal = replace(operation, outcome="not_executed", status=503, error="A later request", told=None)
    return replace(
        refusal, error_type="AskedEarlier", appointment_id=None if operation.kind == "book" else "ada"
    )


def test_asked_earlier_needs_a_later_request() -> None:
    """`AskedEarlier` is true only if a later request for the same booking may have been answered."""
    late = asked_earlier(sent_at(2, of("a", booked("Bob", 2, 5))))
    assert rules(ADA, REFUSED, late, rows=(stored("Ada", "booked a"),)) == set()
    assert rules(ADA, late, rows=(stored("Ada", "booked a"),)) == {Rule.TRUE_REFUSAL}
    long_ago = sent_at(0.5, of("a", refused("Bob", 0.5, 1.5)))
    assert rules(ADA, long_ago, late, rows=(stored("Ada", "booked a"),)) == {Rule.TRUE_REFUSAL}
    assert rules(ADA, replace(late, via="http"), rows=(stored("Ada", "booked a"),)) == set()


def test_asked_earlier_means_not_executed() -> None:
    """A booking answered `AskedEarlier` is not stored, and such a move takes no effect."""
    late = asked_earlier(sent_at(2, of("a", booked("Bob", 2, 5))))
    assert rules(*FREED, REFUSED, late, rows=(GONE, BOB)) == {Rule.KNOWN_OUTCOME}
    move, other = asked_earlier(sent_at(2, moved("Ada", "b", 2, 5))), sent_at(3, moved("Ada", "c", 3, 4, "n"))
    assert rules(ADA, move, other, rows=(stored("Ada", "booked a", "moved c n"),)) == set()
    assert Rule.LINEARIZABLE in rules(
        ADA, move, other, rows=(stored("Ada", "booked a", "moved c n", "moved b m"),)
    )
