"""The judge of the fault runs accepts bookings that were made in time, and no others."""

from dataclasses import replace

import pytest

from tests.proof.checker import Rule, check
from tests.proof.checker.builders import asked, booked, lost, record, row
from tests.proof.faults.history import Fault, Operation, Row


def rules(*operations: Operation, rows: tuple[Row, ...]) -> set[Rule]:
    return {violation.rule for violation in check(record(*operations, rows=rows)).violations}


def due(operation: Operation, deadline: float) -> Operation:
    return replace(operation, deadline=deadline)


def made(patient: str, created: float | None) -> tuple[Row]:
    return (replace(row(patient), created=created),)


@pytest.mark.parametrize("created", [1.76, 2.0, 3.0, 3.24])
def test_a_booking_between_request_and_deadline_is_accepted(created: float) -> None:
    """A booking is made between request and deadline, as far as clocks agree; its answer may come late."""
    assert rules(due(booked("Ada", 2, 9), 3), rows=made("Ada", created)) == set()
    assert rules(due(lost("Ada", 2), 3), rows=made("Ada", created)) == set()


@pytest.mark.parametrize("created", [1.74, 3.26, 60.0])
def test_a_booking_out_of_time_is_a_violation(created: float) -> None:
    """One that was made sooner or later is shown with its request, whether its caller heard of it or not."""
    for request in (booked("Ada", 2, 9), lost("Ada", 2)):
        history = record(due(request, 3), rows=made("Ada", created))
        [shown] = check(history).violations
        assert shown.rule is Rule.IN_TIME
        assert [each.patient for each in shown.operations] == ["Ada"]


def test_any_attempt_may_have_made_the_booking() -> None:
    """What is too late for one attempt is in time for its repeat; between the two it is neither."""
    attempts = due(lost("Ada", 0), 1), due(booked("Ada", 5, 6), 6)

    assert rules(*attempts, rows=made("Ada", 0.5)) == set()
    assert rules(*attempts, rows=made("Ada", 5.5)) == set()
    assert rules(*attempts, rows=made("Ada", 3)) == {Rule.IN_TIME}


def test_an_attempt_that_was_turned_away_made_nothing() -> None:
    """A repeat that was answered 503 does not lend its time to the attempt before it."""
    turned_away = asked("book", "Ada", 5, 6, key="key-Ada", outcome="not_executed", deadline=6)
    assert rules(due(lost("Ada", 0), 1), turned_away, rows=made("Ada", 5.5)) == {Rule.IN_TIME}


def test_where_no_deadline_is_known_none_is_judged() -> None:
    """A command without a deadline may be carried out late, and a row may not say when it was made."""
    assert rules(booked("Ada", 2, 99), rows=made("Ada", 90)) == set()
    assert rules(due(booked("Ada", 2, 3), 3), rows=made("Ada", None)) == set()
    assert rules(booked("Ada", 2, 99), rows=made("Ada", 1)) == {Rule.IN_TIME}


@pytest.mark.parametrize("created", [0.1, 4.9])
def test_a_worker_with_a_wrong_clock_may_date_a_booking_wrongly(created: float) -> None:
    """While the clock of a worker is wrong by two seconds, what it books is dated so; at no other time."""
    history = record(due(booked("Ada", 2, 3), 3), rows=made("Ada", created))
    during, long_before = (Fault("worker_clock", began, began + 3, "") for began in (1.0, -20.0))
    assert {each.rule for each in check(replace(history, faults=(long_before,))).violations} == {Rule.IN_TIME}
    assert check(replace(history, faults=(during,))).violations == ()
