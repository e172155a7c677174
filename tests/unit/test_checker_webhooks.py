"""The checker compares the deliveries of webhooks with the stream of events."""

from dataclasses import replace

import pytest

from tests.proof.checker import Rule
from tests.proof.checker.builders import entries, record, stored
from tests.proof.checker.webhooks import IN_TIME_SECONDS, RECOVERY_SECONDS, unexcused
from tests.proof.faults.history import GONE, HEALTHY, TRAP, Delivery, Event, Fault, Webhooks
from tests.unit.lives import ADA
from tests.unit.verdicts import broken_rules

EVENT = Event("ada:1", "ada", entries("booked a")[0], stored=10.0)
DELIVERED = Delivery(HEALTHY, "ada:1", 10.5)
LATE = Delivery(HEALTHY, "ada:1", 11.0 + IN_TIME_SECONDS)
AT_GONE = Delivery(GONE, "ada:1", 10.5)


def rules(*deliveries: Delivery, ended: float | None = None, faults: tuple[Fault, ...] = ()) -> set[Rule]:
    history = record(ADA, rows=(stored("Ada", "booked a"),))
    return broken_rules(
        replace(history, events=(EVENT,), webhooks=Webhooks(deliveries, ended), faults=faults)
    )


@pytest.mark.parametrize(
    "deliveries",
    [(DELIVERED,), (DELIVERED, DELIVERED), (DELIVERED, LATE), (DELIVERED, Delivery("failing", "ada:1", 99))],
    ids=["once", "repeated", "repeated late", "late at a broken receiver"],
)
def test_event_that_the_healthy_receiver_gets_in_time_is_accepted(deliveries: tuple[Delivery, ...]) -> None:
    """The first delivery of an event counts; broken receivers may get it at any time."""
    assert rules(*deliveries) == set()


@pytest.mark.parametrize(
    "deliveries",
    [
        (),
        (LATE,),
        (replace(DELIVERED, genuine=False),),
        (DELIVERED, replace(AT_GONE, receiver="failing", genuine=False)),
        (DELIVERED, replace(DELIVERED, event="bob:1")),
        (DELIVERED, replace(DELIVERED, receiver=TRAP)),
    ],
    ids=["missing", "late", "wrong signature", "wrong signature elsewhere", "no event", "redirect"],
)
def test_wrong_delivery_is_a_violation(deliveries: tuple[Delivery, ...]) -> None:
    """A missing, late, false or redirected delivery breaks the rule."""
    assert rules(*deliveries) == {Rule.WEBHOOK}


def test_fault_of_nats_or_webhooks_excuses_a_delay_alone() -> None:
    """A delivery may be late by the time of such a fault, and of the recovery from it."""
    fault = Fault("webhooks_kill", 10.0, 11.0)
    assert rules(LATE, faults=(fault,)) == set()
    assert rules(LATE, faults=(replace(fault, kind="nats_kill", ended=None),)) == set()
    assert rules(LATE, faults=(replace(fault, kind="mongo_cut"),)) == {Rule.WEBHOOK}
    assert rules(faults=(fault,)) == {Rule.WEBHOOK}
    later = replace(LATE, at=LATE.at + 1 + RECOVERY_SECONDS)
    assert rules(later, faults=(fault,)) == {Rule.WEBHOOK}


def test_receiver_that_is_gone_gets_nothing_after_its_end() -> None:
    """An endpoint that answers 410 is disabled, and gets no further delivery."""
    assert rules(DELIVERED, AT_GONE, ended=10.6) == set()
    assert rules(DELIVERED, AT_GONE) == {Rule.WEBHOOK}
    assert rules(DELIVERED, AT_GONE, replace(AT_GONE, at=LATE.at), ended=10.6) == {Rule.WEBHOOK}


def test_excused_times_count_once() -> None:
    """Excused times may overlap, and reach beyond the delay."""
    assert unexcused(0, 10, []) == 10
    assert unexcused(0, 10, [(2, 4), (3, 5), (9, 12)]) == 6
    assert unexcused(5, 4, [(0, 1)]) == 0
