"""The checker compares the stream of events with the rows and the answers."""

from dataclasses import replace

import pytest

from tests.proof.checker import Rule
from tests.proof.checker.builders import cancelled, entries, history, moved, record, stored
from tests.proof.faults.history import Event, Operation, Row
from tests.unit.lives import ADA
from tests.unit.verdicts import broken_rules

CHANGES = "booked a", "moved b m", "cancelled b"
ROW = stored("Ada", *CHANGES)
LIFE = ADA, moved("Ada", "b", 2, 3), cancelled("Ada", 4, 5)


def published(*changes: str, booking: str = "ada") -> tuple[Event, ...]:
    """Return the events of a booking with these changes."""
    told = entries(*changes)
    return tuple(
        Event(
            f"{booking}:{change.version}",
            booking,
            replace(change, move_id=None),
            before.place if before and change.type == "moved" else None,
        )
        for before, change in zip((None, *told), told, strict=False)
    )


FIRST, SECOND, THIRD = published(*CHANGES)


def rules(
    events: tuple[Event, ...] | None, operations: tuple[Operation, ...] = LIFE, rows: tuple[Row, ...] = (ROW,)
) -> set[Rule]:
    return broken_rules(replace(record(*operations, rows=rows), events=events))


@pytest.mark.parametrize(
    "events",
    [
        (FIRST, SECOND, THIRD),
        (FIRST, FIRST, SECOND, FIRST, THIRD, SECOND),
        None,
    ],
    ids=["each once", "repeated", "not read"],
)
def test_stream_with_every_change_in_order_is_accepted(events: tuple[Event, ...] | None) -> None:
    """Each change has its event, in order; a repeat under the same id changes nothing."""
    assert rules(events) == set()


@pytest.mark.parametrize(
    "events",
    [
        (),
        (FIRST, THIRD),
        (FIRST, SECOND),
        (SECOND, FIRST, THIRD),
        (FIRST, THIRD, SECOND),
        (FIRST, SECOND, THIRD, replace(THIRD, id="ada:4", change=replace(THIRD.change, version=4))),
        (FIRST, replace(SECOND, id="ada:2b"), THIRD),
        (FIRST, replace(SECOND, change=replace(SECOND.change, place=FIRST.change.place)), THIRD),
        (FIRST, replace(SECOND, previous=None), THIRD),
        (FIRST, SECOND, replace(THIRD, previous=FIRST.change.place)),
        (FIRST, SECOND, replace(THIRD, change=replace(THIRD.change, type="moved"))),
        (FIRST, SECOND, replace(SECOND, previous=SECOND.change.place), THIRD),
        (FIRST, SECOND, THIRD, *published("booked a", booking="bob")),
    ],
    ids=[
        "no event",
        "gap",
        "last one missing",
        "second first",
        "third before second",
        "no such change",
        "other id",
        "other place",
        "no previous place",
        "previous place of a cancel",
        "other type",
        "repeat with another content",
        "no such booking",
    ],
)
def test_stream_that_differs_from_the_changes_is_a_violation(events: tuple[Event, ...]) -> None:
    """A gap, another order, an event without a change or with another content breaks the rule."""
    assert rules(events) == {Rule.EVENT}


def test_event_has_the_time_of_its_change() -> None:
    """The time of an event is the one in the history."""
    timed = tuple(replace(change, at=float(number)) for number, change in enumerate(ROW.history))
    row = replace(ROW, history=timed)
    events = tuple(
        replace(event, change=replace(event.change, at=at))
        for event, at in zip((FIRST, SECOND, THIRD), (0.0, 1.0, 2.0), strict=True)
    )
    late = (*events[:2], replace(THIRD, change=replace(THIRD.change, at=2.5)))
    operations = ADA, moved("Ada", "b", 0.5, 3), cancelled("Ada", 1.5, 5)
    assert rules(events, operations, (row,)) == set()
    assert rules(late, operations, (row,)) == {Rule.EVENT}


def test_every_answer_has_its_event() -> None:
    """What a caller was told has an event, even if the row is lost with the event."""
    told = history("Ada", 6, 7, *(replace(change, move_id=None) for change in ROW.history))
    assert rules((FIRST, SECOND, THIRD), (*LIFE, told)) == set()
    for events in ((SECOND, THIRD), (FIRST, THIRD), (FIRST, SECOND)):
        assert Rule.EVENT in rules(events, (*LIFE, told))
    assert Rule.EVENT in rules((), (ADA,), ())
    assert Rule.EVENT in rules((FIRST,), (ADA, cancelled("Ada", 4, 5)), (stored("Ada", "booked a"),))
