"""The checker accepts bookings that were made before their deadline, and no later ones."""

from dataclasses import replace

import pytest

from tests.proof.checker import Rule, check
from tests.proof.checker.builders import asked, booked, lost, record, row
from tests.proof.faults.history import Fault, Operation, Row
from tests.unit.verdicts import broken_rules


def rules(*operations: Operation, rows: tuple[Row, ...]) -> set[Rule]:
    return broken_rules(record(*operations, rows=rows))


def due(operation: Operation, deadline: float) -> Operation:
    return replace(operation, deadline=deadline)


def made(patient: str, created: float | None) -> tuple[Row]:
    return (replace(row(patient), created=created),)


@pytest.mark.parametrize("created", [1.76, 2.0, 3.0, 3.24])
def test_booking_between_request_and_deadline_is_accepted(created: float) -> None:
    """A booking is made between request and deadline, within clock differences; its answer may be late."""
    assert rules(due(booked("Ada", 2, 9), 3), rows=made("Ada", created)) == set()
    assert rules(due(lost("Ada", 2), 3), rows=made("Ada", created)) == set()


@pytest.mark.parametrize("created", [1.74, 3.26, 60.0])
def test_booking_before_request_or_after_deadline_is_a_violation(created: float) -> None:
    """A booking outside this time is shown with its request, answered or not."""
    for request in (booked("Ada", 2, 9), lost("Ada", 2)):
        history = record(due(request, 3), rows=made("Ada", created))
        [shown] = check(history).violations
        assert shown.rule is Rule.IN_TIME
        assert [each.patient for each in shown.operations] == ["Ada"]


def test_any_attempt_may_have_made_the_booking() -> None:
    """A booking may be too late for one attempt and in time for its retry; between the two it is neither."""
    attempts = due(lost("Ada", 0), 1), due(booked("Ada", 5, 6), 6)

    assert rules(*attempts, rows=made("Ada", 0.5)) == set()
    assert rules(*attempts, rows=made("Ada", 5.5)) == set()
    assert rules(*attempts, rows=made("Ada", 3)) == {Rule.IN_TIME}


def test_attempt_answered_503_made_no_booking() -> None:
    """The deadline of a retry that was answered 503 does not excuse the attempt before it."""
    denied = asked("book", "Ada", 5, 6, key="key-Ada", outcome="not_executed", deadline=6)
    assert rules(due(lost("Ada", 0), 1), denied, rows=made("Ada", 5.5)) == {Rule.IN_TIME}


def test_unknown_deadline_or_time_of_the_row_is_not_judged() -> None:
    """A command without a deadline may be executed late, and a row may have no time."""
    assert rules(booked("Ada", 2, 99), rows=made("Ada", 90)) == set()
    assert rules(due(booked("Ada", 2, 3), 3), rows=made("Ada", None)) == set()
    assert rules(booked("Ada", 2, 99), rows=made("Ada", 1)) == {Rule.IN_TIME}


@pytest.mark.parametrize("created", [0.1, 4.9])
def test_wrong_worker_clock_excuses_a_wrong_booking_time(created: float) -> None:
    """A booking may have a wrong time only while a worker's clock is wrong by two seconds."""
    history = record(due(booked("Ada", 2, 3), 3), rows=made("Ada", created))
    during, long_before = (Fault("worker_clock", began, began + 3, "") for began in (1.0, -20.0))
    assert {each.rule for each in check(replace(history, faults=(long_before,))).violations} == {Rule.IN_TIME}
    assert check(replace(history, faults=(during,))).violations == ()
